"""Point 6: every served prediction is logged, and a served version is found from the run it was trained in and the other way round."""

import contextlib
import gzip
import io
import json
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess

import pandas as pd
import pyarrow as pa
import tritonclient.http as triton
from conftest import BINARY, Server, register_wine, split_body, wait_until
from grape import tensors
from predictions import Posts


def serving_run(mlflow, endpoint):
    runs = mlflow.search_runs(experiment_names=[f"serving/{endpoint}"], output_format="list")
    return runs[0] if runs else None


def segments(mlflow, run_id):
    client = mlflow.MlflowClient()
    if not client.list_artifacts(run_id, "predictions"):
        return None
    local = pathlib.Path(client.download_artifacts(run_id, "predictions"))
    return pd.concat([pd.read_parquet(f) for f in sorted(local.rglob("*.parquet"))], ignore_index=True)


def test_predictions_are_found_in_tracking(server, mlflow_at):
    import mlflow

    client = mlflow_at(server)
    mlflow.set_experiment("training")
    info = register_wine(mlflow, "wine", "v2")
    client.transition_model_version_stage("wine", "1", "Production")
    wait_until(lambda: server.post("/invocations", json=split_body()).ok, what="wine answers")
    ids = {}
    for i in range(50):
        answer = server.post("/invocations", json=split_body(), headers={"X-Request-Id": f"req-{i}"})
        ids[f"req-{i}"] = answer.headers["X-Sluice-Prediction-Id"]
    bad = server.post("/invocations", json={"dataframe_split": {"columns": ["a"], "data": [[1]]}}, headers={"X-Request-Id": "bad-one"})
    assert bad.status_code == 400

    def logged():
        run = serving_run(mlflow, "wine")
        frame = segments(mlflow, run.info.run_id) if run else None
        return [frame] if frame is not None and set(ids) | {"bad-one"} <= set(frame["client_request_id"]) else None

    (frame,) = wait_until(logged, seconds=60, what="51 predictions in tracking")
    mine = frame[frame["client_request_id"].isin(ids)]
    assert len(mine) == 50 and mine["databricks_request_id"].nunique() == 50
    assert dict(zip(mine["client_request_id"], mine["databricks_request_id"])) == ids
    row = mine.iloc[0]
    assert (row["endpoint"], row["model_name"], int(row["model_version"]), int(row["status_code"])) == ("wine", "wine", 1, 200)
    assert json.loads(row["request"]) == split_body() and json.loads(row["response"])["predictions"][0]["label"] == 0
    failed = frame[frame["client_request_id"] == "bad-one"].iloc[0]
    assert int(failed["status_code"]) == 400 and failed["error_code"]

    # from the training run to the serving run …
    training = info.run_id
    found = mlflow.search_runs(search_all_experiments=True, filter_string=f"tags.\"sluice.training_run_id\" = '{training}'", output_format="list")
    assert [r.info.run_id for r in found] == [serving_run(mlflow, "wine").info.run_id]
    # … and back
    serving = found[0]
    assert serving.data.tags["sluice.model_name"] == "wine" and serving.data.tags["sluice.model_version"] == "1"
    assert client.get_run(training).data.tags["sluice.serving_run.wine"] == serving.info.run_id
    assert client.get_model_version("wine", "1").tags["sluice.serving_run.wine"] == serving.info.run_id

    def counted():
        metrics = client.get_run(serving.info.run_id).data.metrics
        return metrics if metrics.get("requests_total", 0) >= 51 else None

    metrics = wait_until(counted, seconds=60, what="51 requests counted")
    assert metrics["errors_total"] >= 1 and 0 < metrics["latency_p50_ms"] <= metrics["latency_p99_ms"]


def test_predictions_are_queried(server, mlflow_at, tmp_path):
    """The API and sluice predictions: one record at once, the others when their segment is delivered."""
    import mlflow

    client = mlflow_at(server)
    register_wine(mlflow, "wine", "v2")
    client.transition_model_version_stage("wine", "1", "Production")
    wait_until(lambda: server.post("/invocations", json=split_body()).ok, what="wine answers")
    sent = [server.post("/invocations", json=split_body(), headers={"X-Request-Id": f"req-{i}"}).headers["X-Sluice-Prediction-Id"] for i in range(20)]

    def cli(*args):
        done = subprocess.run([str(BINARY), "predictions", *args, "--url", server.url], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    path = "/api/2.0/sluice/predictions"
    # the newest is found before its segment is there, by both ids
    one = server.get(f"{path}/{sent[-1]}").json()["prediction"]
    assert one["databricks_request_id"] == sent[-1] and one["client_request_id"] == "req-19" and json.loads(one["request"]) == split_body()
    assert server.get(path, params={"client_request_id": "req-19"}).json()["predictions"][0]["databricks_request_id"] == sent[-1]
    assert json.loads(cli("get", sent[0]))["client_request_id"] == "req-0"
    assert server.get(f"{path}/{'0' * 8}-0000-7000-8000-{'0' * 12}").json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert server.get(path, params={"limit": "many"}).status_code == 400

    def delivered():
        page = server.get(path, params={"endpoint": "wine", "model_version": 1, "limit": 1000}).json()["predictions"]
        return page if set(sent) <= {r["databricks_request_id"] for r in page} else None

    page = wait_until(delivered, seconds=60, what="20 predictions by query")
    for name in ("all.parquet", "all.csv"):
        cli("export", str(tmp_path / name), "--endpoint", "wine", "--status", "2xx")
    frames = pd.read_parquet(tmp_path / "all.parquet"), pd.read_csv(tmp_path / "all.csv")
    assert [list(f["databricks_request_id"]) for f in frames] == [[r["databricks_request_id"] for r in page]] * 2
    newest = [json.loads(line) for line in cli("tail", "-n", "3").splitlines()]
    assert [r["databricks_request_id"] for r in newest] == [r["databricks_request_id"] for r in page[-3:]]
    follows(server)
    enters_what_the_index_lost(server, path, set(sent))


def follows(server):
    """sluice predictions tail -f prints what comes after it began, until it is interrupted."""
    tail = subprocess.Popen([str(BINARY), "predictions", "tail", "-f", "-n", "1", "--every", "200ms", "--url", server.url], stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(tail.stdout.readline())["endpoint"] == "wine"
        later = [server.post("/invocations", json=split_body()).headers["X-Sluice-Prediction-Id"] for _ in range(3)]
        assert [json.loads(tail.stdout.readline())["databricks_request_id"] for _ in later] == later
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 0 and tail.stdout.read() == ""
    finally:
        tail.kill()


def enters_what_the_index_lost(server, path, sent):
    """sluice predictions reindex makes the index again from the segments, while the server runs."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "sluice.db", timeout=30)) as db:
        lost = db.execute("DELETE FROM sluice_prediction_segments").rowcount
        db.commit()
    assert lost > 0 and server.get(path, params={"endpoint": "wine"}).json()["predictions"] == []
    done = subprocess.run([str(BINARY), "predictions", "reindex", "--data-dir", str(server.data_dir)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and str(lost) in done.stdout, (done.stdout, done.stderr)
    assert sent <= {r["databricks_request_id"] for r in server.get(path, params={"limit": 1000}).json()["predictions"]}


def test_secrets_are_nowhere(tmp_path, mlflow_at):
    """R45: columns of an endpoint's redaction, in every shape of body, refused ones too, after a kill -9 as well: not on disk (spool, segments, index, runs),
    not in an export, a trace, a metric, a log line or what tracking tells."""
    with Posts() as pushed:
        push = {"OTEL_EXPORTER_OTLP_ENDPOINT": pushed.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_LOGS_EXPORTER": "otlp"}
        server = Server(tmp_path / "data", env=push).start()
        try:
            secrets_are_nowhere(server, mlflow_at, pushed)
        finally:
            server.stop()


def secrets_are_nowhere(server, mlflow_at, pushed):
    import mlflow

    canary = "CANARY-7c1e"
    traced = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    client = mlflow_at(server)
    register_wine(mlflow, "wine", "v2")
    client.transition_model_version_stage("wine", "1", "Production")
    entities = {"served_entities": [{"name": "stable", "entity_name": "wine", "entity_stage": "Production"}]}
    redaction = [{"column": "ssn", "action": "drop"}, {"column": "mail", "action": "hash"}, {"column": "note", "action": "truncate", "length": 2}]
    wrong = server.post("/api/2.0/serving-endpoints", json={"name": "bad", "config": {**entities, "redaction": [{"column": "ssn", "action": "hide"}]}})
    assert wrong.status_code == 400 and "redaction[0].action" in wrong.json()["message"]
    made = server.post("/api/2.0/serving-endpoints", json={"name": "cellar", "config": {**entities, "redaction": redaction}})
    assert made.ok and made.json()["config"]["redaction"] == redaction, made.text
    split = split_body()["dataframe_split"]
    columns, row = split["columns"], split["data"][0]
    named = dict(zip(columns, row), ssn=canary, mail=canary, note=canary)
    wait_until(lambda: server.post("/endpoints/cellar/invocations", json=split_body()).ok, what="cellar answers")
    csv = ",".join(named) + "\n" + ",".join(str(v) for v in named.values()) + "\n"
    bodies = [
        {"json": {"dataframe_split": {"columns": list(named), "data": [list(named.values())]}}},
        {"json": {"dataframe_records": [named]}},
        {"json": {"instances": [named]}},
        {"json": {"inputs": {k: [v] for k, v in named.items()}}},
        {"json": {"dataframe_records": [{k: v for k, v in named.items() if k != columns[0]}]}},  # refused
        {"json": {"inputs": [[canary, canary]]}},
        {"data": csv, "headers": {"Content-Type": "text/csv"}},
        {"data": b"\xff" + canary.encode(), "headers": {"Content-Type": "application/vnd.apache.arrow.stream"}},
        {"data": '{"dataframe_records": [{"ssn": "' + canary, "headers": {"Content-Type": "application/json"}},
        {"data": f"{canary},1\n{canary},2\n", "headers": {"Content-Type": "text/csv"}},  # no header
    ]
    sent = [server.post("/endpoints/cellar/invocations", **{**b, "headers": {**b.get("headers", {}), **traced}}).headers["X-Sluice-Prediction-Id"] for b in bodies]
    infer = {"inputs": [{"name": "ssn", "shape": [1], "datatype": "BYTES", "data": [canary]}]}
    server.post("/v2/models/cellar/infer", json=infer, headers=traced)
    path = "/api/2.0/sluice/predictions"
    first = server.get(f"{path}/{sent[0]}").json()["prediction"]
    assert first["redaction"] == "redacted" and canary[:2] in first["request"] and "ssn" not in first["request"]

    def everywhere():
        files = [f for f in pathlib.Path(server.data_dir).rglob("*") if f.is_file() and f.name != "lock"]
        for f in files:
            data = f.read_bytes()
            assert canary.encode() not in data, f
            if f.suffix == ".parquet":
                assert canary not in pd.read_parquet(f).to_json(default_handler=str), f
        assert canary not in "".join(server.out)
        return files

    everywhere()
    pushes(pushed, "/v1/traces")  # of these requests; after the kill there are others
    server.kill()
    everywhere()
    server.start()
    assert server.data_dir.joinpath("redaction.key").stat().st_mode & 0o777 == 0o600

    def delivered():
        page = server.get(path, params={"endpoint": "cellar", "limit": 1000})
        found = {r["databricks_request_id"]: r for r in page.json()["predictions"]} if page.ok else {}
        return found if set(sent) <= set(found) else None

    found = wait_until(delivered, seconds=60, what="all records")
    everywhere()
    mlflow_at(server)
    told_nowhere(server, mlflow, canary, pushed)
    withheld = [i for i, s in enumerate(sent) if found[s].get("redaction") == "withheld"]
    assert withheld == [5, 7, 8, 9], withheld
    hashes = {json.loads(found[s]["request"])[k][0]["mail"] for s, k in [(sent[1], "dataframe_records"), (sent[2], "instances")]}
    assert len(hashes) == 1 and len(hashes.pop()) == 32


def pushes(pushed, signal_path):
    wait_until(lambda: any(path == signal_path for path, _ in pushed.kept), what=f"a push to {signal_path}")


def told_nowhere(server, mlflow, canary, pushed):
    """What a server says of an endpoint by every way there is."""
    for form in ("json", "jsonl", "csv", "arrow", "parquet"):
        answer = server.get("/api/2.0/sluice/predictions", params={"endpoint": "cellar", "format": form})
        text = answer.text
        if form == "parquet":
            text = pd.read_parquet(io.BytesIO(answer.content)).to_json(default_handler=str)
        if form == "arrow":
            text = pa.ipc.open_stream(answer.content).read_all().to_pandas().to_json(default_handler=str)
        assert answer.ok and "cellar" in text and canary not in text, form
    for path in ("/metrics", *(f"/api/2.0/serving-endpoints/cellar{p}" for p in ("", "/events", "/drift", "/quality"))):
        assert canary not in server.get(path).text, path
    runs = mlflow.search_runs(experiment_names=["serving/cellar"], output_format="list")
    assert runs and canary not in json.dumps([r.to_dictionary() for r in runs], default=str)
    experiments = [e.experiment_id for e in mlflow.search_experiments()]
    assert canary not in str([t.to_json() for t in mlflow.search_traces(locations=experiments, return_type="list")])
    for signal_path in ("/v1/traces", "/v1/metrics", "/v1/logs"):
        pushes(pushed, signal_path)
    wait_until(lambda: any(b"execute" in body for path, body in pushed.kept if path == "/v1/traces"), what="a span of an execution")
    assert not [path for path, body in pushed.kept if canary.encode() in body]


def test_kill_9_loses_nothing_that_was_acknowledged(server, mlflow_at):
    import mlflow

    client = mlflow_at(server)
    register_wine(mlflow, "wine", "v2")
    client.transition_model_version_stage("wine", "1", "Production")
    wait_until(lambda: server.post("/invocations", json=split_body()).ok, what="wine answers")
    with mlflow.start_run() as run:
        for i in range(20):
            mlflow.log_metric("m", i, step=i)
    ids = [server.post("/invocations", json=split_body()).headers["X-Sluice-Prediction-Id"] for _ in range(30)]
    wait_until(lambda: synced(server), seconds=30, what="the prediction log to be on disk")
    server.kill()
    server.start()
    mlflow_at(server)
    server.ready()
    assert len(client_history(mlflow, run)) == 20
    assert server.post("/invocations", json=split_body()).headers["X-Sluice-Model-Version"] == "1"

    def all_there():
        r = serving_run(mlflow, "wine")
        frame = segments(mlflow, r.info.run_id) if r else None
        return frame is not None and set(ids) <= set(frame["databricks_request_id"])

    wait_until(all_there, seconds=60, what="the predictions from before the kill")
    frame = segments(mlflow, serving_run(mlflow, "wine").info.run_id)
    assert frame["databricks_request_id"].is_unique
    tells_the_gap(server)


def tells_the_gap(server):
    """After a kill: from when to when records may be missing, and how many at most, wherever one would look."""
    (gap,) = server.get("/api/2.0/sluice/predictions/gaps").json()["gaps"]
    assert gap["from"] < gap["to"] and 0 < gap["at_most"] < 1_000_000
    told = subprocess.run([str(BINARY), "predictions", "gaps", "--url", server.url], capture_output=True, text=True, timeout=60)
    assert [json.loads(line) for line in told.stdout.splitlines()] == [gap]
    events = wait_until(lambda: [e for e in server.get("/api/2.0/serving-endpoints/wine/events").json()["events"] if e["kind"] == "prediction_gap"], what="the event")
    assert len(events) == 1 and f"at most {gap['at_most']} records" in events[0]["reason"]
    assert f"\nsluice_predlog_gap_records {gap['at_most']}" in re.sub(r"\{[^}]*\}", "", server.get("/metrics").text)
    assert server.stop() == 0
    server.start()
    assert server.get("/api/2.0/sluice/predictions/gaps").json()["gaps"] == [gap]  # none of a stop


def client_history(mlflow, run):
    return mlflow.MlflowClient().get_metric_history(run.info.run_id, "m")


def synced(server):
    """No record waits in memory any more, as the metrics tell."""
    import re

    found = re.search(r"^sluice_predlog_queue_bytes\S* (\S+)", server.get("/metrics").text, re.M)
    return found and float(found.group(1)) == 0


def test_stop_flushes_and_says_so_in_the_exit_code(server, mlflow_at):
    import mlflow

    client = mlflow_at(server)
    register_wine(mlflow, "wine", "v2")
    client.transition_model_version_stage("wine", "1", "Production")
    wait_until(lambda: server.post("/invocations", json=split_body()).ok, what="wine answers")
    ids = [server.post("/invocations", json=split_body()).headers["X-Sluice-Prediction-Id"] for _ in range(10)]
    assert server.stop() == 0
    server.start()
    mlflow_at(server)
    frame = segments(mlflow, serving_run(mlflow, "wine").info.run_id)
    assert set(ids) <= set(frame["databricks_request_id"])


def on_the_wire(server, path, body, headers, chunked):
    """Every byte of an answer, with what differs from one request to the next made equal."""
    head = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
    if chunked:
        pieces = [body[i : i + 7] for i in range(0, len(body), 7)] + [b""]
        head, body = head + "Transfer-Encoding: chunked\r\n", b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    else:
        head += f"Content-Length: {len(body)}\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as s:
        s.sendall(f"POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{head}\r\n".encode() + body)
        answer = b"".join(iter(lambda: s.recv(1 << 16), b""))
    return re.sub(rb"(?im)^(date|x-request-id|x-sluice-prediction-id|x-sluice-revision|server-timing): [^\r]*", rb"\1: ...", answer)


def test_answers_are_the_same_without_the_log(tmp_path):
    """R42: plain, chunked, compressed, refused and failed requests get the same bytes, whether predictions are logged or not, by each protocol."""
    good, path = json.dumps(split_body()).encode(), "/models/wine/versions/2/invocations"
    typed = {"Content-Type": "application/json"}
    cases = {
        "plain": (path, good, typed, False),
        "chunked": (path, good, typed, True),
        "gzip": (path, gzip.compress(good), typed | {"Content-Encoding": "gzip"}, False),
        "gzip in chunks": (path, gzip.compress(good), typed | {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}, True),
        "many rows": (path, json.dumps(split_body(2000)).encode(), typed | {"Accept-Encoding": "gzip"}, False),
        "no JSON": (path, b"{", typed, False),
        "a missing column": (path, b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', typed, False),
        "no such version": ("/models/wine/versions/9/invocations", good, typed, False),
        "a body of another type": (path, good, {"Content-Type": "text/html"}, False),
        "damaged gzip": (path, b"no gzip", typed | {"Content-Encoding": "gzip"}, False),
        "a deadline that cannot be kept": (path, good, typed | {"X-Sluice-Timeout-Ms": "0"}, False),
    }
    infer = "/models/wine/versions/2/infer"
    tensor_bytes, head = triton.InferenceServerClient.generate_request_body(tensors(triton, 2, binary_data=True))
    tensor_json, _ = triton.InferenceServerClient.generate_request_body(tensors(triton, 2, binary_data=False), outputs=[triton.InferRequestedOutput("label", binary_data=False)])
    cases |= {
        "tensors as JSON": (infer, tensor_json, typed, False),
        "tensors as bytes": (infer, tensor_bytes, {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(head)}, True),
        "tensors that are cut": (infer, tensor_bytes[:-1], {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(head)}, False),
        "half a message of gRPC": (infer, b"\x2a\x09", {"Content-Type": "application/x-protobuf"}, False),
    }
    answers = []
    for name, args in (("with", ()), ("without", ("--prediction-log=false",))):
        server = Server(tmp_path / name, "--demo", *args).start()
        try:
            wait_until(lambda server=server: server.post(path, json=split_body()).ok, what="wine answers")
            answers.append({what: on_the_wire(server, *case) for what, case in cases.items()})
        finally:
            server.stop()
    for what, got in answers[0].items():
        assert got == answers[1][what], what
    assert all(answers[0][what].startswith(b"HTTP/1.1 200") for what in ("plain", "chunked", "gzip", "tensors as JSON", "tensors as bytes")), answers[0]
    assert {a.split(b" ")[1] for a in answers[0].values()} >= {b"200", b"400", b"404", b"415"}, "these are the answers that were meant"
