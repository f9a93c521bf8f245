"""Points 3, 5 and 7: a stage change serves at once without a failure, every body format answers as MLflow's scoring server would."""

import gzip
import io
import json
import re
import threading
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import requests
from conftest import EXAMPLES, register_wine, split_body, wait_until, wine_rows


def promote(client, name, version, stage="Production"):
    client.transition_model_version_stage(name, str(version), stage)


@pytest.fixture(scope="module")
def wine(shared_server):
    """Registered model `wine` with version 2 of the example in Production, served."""
    import mlflow

    mlflow.set_tracking_uri(shared_server.url)
    mlflow.set_registry_uri(shared_server.url)
    client = mlflow.MlflowClient()
    mlflow.set_experiment("serving-tests")
    register_wine(mlflow, "wine")
    promote(client, "wine", 1)
    wait_until(lambda: shared_server.post("/endpoints/wine/invocations", json=split_body()).ok, what="wine answers")
    return shared_server


def invoke(server, **kw):
    headers = {"X-Sluice-Endpoint": "wine", **kw.pop("headers", {})}
    return server.post("/invocations", headers=headers, **kw)


def oracle(n):
    """What ONNX Runtime itself answers for the first n wines: labels and probabilities."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(EXAMPLES / "v2" / "model.onnx"))
    return session.run(None, {"input": np.asarray(wine_rows(n)["data"], dtype=np.float32)})


def check_answer(answer, n):
    assert answer.status_code == 200, answer.text
    got = answer.json()["predictions"]
    labels, probabilities = oracle(n)
    assert [r["label"] for r in got] == labels.tolist()
    assert np.array_equal(np.asarray([r["probabilities"] for r in got], dtype=np.float32), probabilities)


def bodies(n):
    rows = wine_rows(n)
    frame = pd.DataFrame(rows["data"], columns=rows["columns"])
    records = frame.to_dict(orient="records")
    parquet, csv = io.BytesIO(), io.StringIO()
    frame.to_parquet(parquet)
    frame.to_csv(csv, index=False)
    table, arrow = pa.Table.from_pandas(frame), io.BytesIO()
    with pa.ipc.new_stream(arrow, table.schema) as stream:
        stream.write_table(table)
    shuffled = frame[list(reversed(rows["columns"]))]
    return {
        "split": ({"dataframe_split": rows}, None),
        "split with index": ({"dataframe_split": {"index": list(range(n)), **rows}}, None),
        "split, other column order": ({"dataframe_split": json.loads(shuffled.to_json(orient="split"))}, None),
        "records": ({"dataframe_records": records}, None),
        "instances": ({"instances": records}, None),
        "inputs, columns": ({"inputs": {c: frame[c].tolist() for c in frame}}, None),
        "inputs, records": ({"inputs": records}, None),
        "params": ({"dataframe_split": rows, "params": {}}, None),
        "csv": (csv.getvalue().encode(), "text/csv"),
        "parquet": (parquet.getvalue(), "application/vnd.apache.parquet"),
        "arrow": (arrow.getvalue(), "application/vnd.apache.arrow.stream"),
    }


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", bodies(1))
def test_body_formats(wine, kind, n):
    body, content_type = bodies(n)[kind]
    if content_type is None:
        body, content_type = json.dumps(body).encode(), "application/json"
    check_answer(invoke(wine, data=body, headers={"Content-Type": content_type}), n)
    zipped = {"Content-Type": content_type, "Content-Encoding": "gzip"}
    check_answer(invoke(wine, data=gzip.compress(body), headers=zipped), n)


def test_answer_is_what_the_scoring_server_writes(wine, mlflow_at):
    """Byte for byte, for a model whose outputs MLflow itself can answer (one width)."""
    import mlflow
    import mlflow.onnx
    import mlflow.pyfunc.scoring_server as scoring
    from mlflow.models import infer_signature
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.datasets import load_wine
    from sklearn.linear_model import Ridge

    client = mlflow_at(wine)
    x, y = load_wine(return_X_y=True, as_frame=True)
    fitted = Ridge().fit(x, y)
    onnx_model = to_onnx(fitted, initial_types=[("input", FloatTensorType([None, 13]))], target_opset=17)
    with mlflow.start_run():
        info = mlflow.onnx.log_model(
            onnx_model, name="model", signature=infer_signature(x), registered_model_name="ridge", pip_requirements=["onnxruntime"]
        )
    promote(client, "ridge", 1)
    wait_until(lambda: wine.post("/endpoints/ridge/invocations", json=split_body()).ok, what="ridge answers")
    model = mlflow.pyfunc.load_model(info.model_uri)
    for body in [split_body(5), {"dataframe_records": x.head(2).to_dict(orient="records")}]:
        text = json.dumps(body)
        want = scoring.invocations(text, "application/json", model, model.metadata.get_input_schema())
        got = wine.post("/endpoints/ridge/invocations", data=text, headers={"Content-Type": "application/json"})
        assert (got.status_code, got.text) == (want.status, want.response)


def test_answer_headers(wine):
    answer = invoke(wine, json=split_body(), headers={"X-Request-Id": "my-id"})
    assert answer.headers["X-Sluice-Endpoint"] == "wine"
    assert answer.headers["X-Sluice-Model-Version"] == "1"
    assert answer.headers["X-Sluice-Arm"]
    assert answer.headers["X-Request-Id"] == "my-id"
    again = invoke(wine, json=split_body())
    assert again.headers["X-Request-Id"] not in ("", "my-id")
    ids = [answer.headers["X-Sluice-Prediction-Id"], again.headers["X-Sluice-Prediction-Id"]]
    assert ids[0] != ids[1] and all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", i) for i in ids)


def test_probes(wine):
    assert wine.get("/ping").status_code == 200
    assert wine.get("/health").status_code == 200
    version = wine.get("/version")
    assert version.status_code == 200 and re.fullmatch(r"\d+\.\d+\.\d+", version.text)
    assert wine.get("/ready").status_code == 200


def change_column(name, value):
    rows = wine_rows(1)
    rows["data"][0][rows["columns"].index(name)] = value
    return {"dataframe_split": rows}


def without_column(name):
    rows = wine_rows(1)
    i = rows["columns"].index(name)
    return {"dataframe_split": {"columns": rows["columns"][:i] + rows["columns"][i + 1 :], "data": [rows["data"][0][:i] + rows["data"][0][i + 1 :]]}}


BAD = {
    "malformed": (b'{"dataframe_split": ', "application/json", 400, "JSON"),
    "two keys": (json.dumps({"instances": [[1]], "inputs": [[1]]}).encode(), "application/json", 400, "inputs"),
    "no key": (b"{}", "application/json", 400, "dataframe_split"),
    "a list": (b"[1, 2]", "application/json", 400, "list"),
    "missing column": (json.dumps(without_column("proline")).encode(), "application/json", 400, "proline"),
    "wrong type": (json.dumps(change_column("ash", "much")).encode(), "application/json", 400, "ash"),
    "empty": (b"", "application/json", 400, ""),
    "unknown content type": (b"<a/>", "application/xml", 415, "application/xml"),
    "not gzip": (b"plain", "gzip", 400, "gzip"),
    "not parquet": (b"PAR?", "application/vnd.apache.parquet", 400, "arquet"),
    "not arrow": (b"ARROW1", "application/vnd.apache.arrow.stream", 400, "Arrow"),
    "ragged": (json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3]]}}).encode(), "application/json", 400, ""),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_bodies(wine, case):
    body, content_type, status, says = BAD[case]
    headers = {"Content-Type": content_type}
    if content_type == "gzip":
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = invoke(wine, data=body, headers=headers)
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert error["error_code"] and says in error["message"], error
    check_answer(invoke(wine, json=split_body()), 1)


def test_nan_and_null_are_nan_in_float_columns(wine):
    for value in (float("nan"), None):
        answer = invoke(wine, data=json.dumps(change_column("ash", value)), headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"][0]["probabilities"] == [None, None, None]


def test_unknown_endpoint_and_version(wine):
    for path in ["/endpoints/beer/invocations", "/models/wine/versions/99/invocations", "/models/beer/stages/Production/invocations"]:
        answer = wine.post(path, json=split_body())
        assert answer.status_code == 404, answer.text
        assert answer.json()["error_code"] in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND", "NOT_FOUND")
    check_answer(wine.post("/models/wine/versions/1/invocations", json=split_body()), 1)
    check_answer(wine.post("/models/wine/stages/Production/invocations", json=split_body()), 1)


def test_body_over_the_limit(tmp_path, mlflow_at):
    from conftest import Server

    s = Server(tmp_path / "data", "--demo", "--max-body-bytes", "20000").start().ready()
    try:
        big = b'{"inputs": "' + b"x" * 40_000 + b'"}'
        headers = {"Content-Type": "application/json"}
        assert s.post("/invocations", data=big, headers=headers).status_code == 413
        chunked = s.post("/invocations", data=iter([big[:1000], big[1000:]]), headers=headers)
        assert chunked.status_code == 413 and chunked.json()["error_code"]
        bomb = gzip.compress(b" " * 10_000_000)
        answer = s.post("/invocations", data=bomb, headers={**headers, "Content-Encoding": "gzip"})
        assert answer.status_code == 413, answer.text
        assert s.get("/health").ok
    finally:
        s.stop()


class Hammer:
    """Clients that ask without pause and keep every status and version."""

    def __init__(self, server, path, clients=4):
        self.server, self.path, self.stop_now = server, path, threading.Event()
        self.seen, self.failures = [], []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def _run(self):
        body = json.dumps(split_body()).encode()
        with requests.Session() as session:
            while not self.stop_now.is_set():
                answer = session.post(self.server.url + self.path, data=body, headers={"Content-Type": "application/json"}, timeout=30)
                if answer.status_code != 200:
                    self.failures.append((answer.status_code, answer.text))
                self.seen.append((time.monotonic(), answer.headers.get("X-Sluice-Model-Version")))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop_now.set()
        for t in self.threads:
            t.join()


def test_stage_change_serves_at_once_without_a_failure(server, mlflow_at):
    import mlflow

    client = mlflow_at(server)
    register_wine(mlflow, "wine", "v1")
    register_wine(mlflow, "wine", "v2")
    promote(client, "wine", 1)
    wait_until(lambda: server.post("/invocations", json=split_body()).ok, what="wine answers")
    with Hammer(server, "/invocations") as load:
        wait_until(lambda: len(load.seen) > 50, what="load")
        client.transition_model_version_stage("wine", "2", "Production", archive_existing_versions=True)
        changed = time.monotonic()
        wait_until(lambda: load.seen[-1][1] == "2", what="version 2 answers")
        settled = time.monotonic()
        time.sleep(0.3)
    assert not load.failures, load.failures[:3]
    assert {v for _, v in load.seen} == {"1", "2"}
    assert {v for at, v in load.seen if at > settled + 0.2} == {"2"}
    print(f"version 2 answered {settled - changed:.3f} s after the stage change")


def test_a_version_that_cannot_load_leaves_the_old_one(server, mlflow_at):
    import mlflow

    client = mlflow_at(server)
    register_wine(mlflow, "wine", "v2")
    promote(client, "wine", 1)
    wait_until(lambda: server.post("/invocations", json=split_body()).ok, what="wine answers")
    with mlflow.start_run() as run:
        mlflow.log_text("this is not ONNX", "model/model.onnx")
        mlflow.log_artifact(str(EXAMPLES / "v2" / "MLmodel"), "model")
    client.create_model_version("wine", f"{run.info.artifact_uri}/model", run.info.run_id)
    client.transition_model_version_stage("wine", "2", "Production", archive_existing_versions=True)
    reason = wait_until(lambda: re.search(r"(?i)onnx", endpoint_text(server)) and "2" in endpoint_text(server), what="the reason")
    assert reason
    answer = server.post("/invocations", json=split_body())
    assert answer.status_code == 200 and answer.headers["X-Sluice-Model-Version"] == "1"
    client.transition_model_version_stage("wine", "1", "Production", archive_existing_versions=True)
    assert server.post("/invocations", json=split_body()).headers["X-Sluice-Model-Version"] == "1"


def endpoint_text(server):
    """What the API tells of versions of `wine` that failed to load."""
    entity = server.get("/api/2.0/serving-endpoints/wine").json()
    return json.dumps([e for e in json_objects(entity) if "reason" in e])


def json_objects(value):
    if isinstance(value, dict):
        yield value
        for v in value.values():
            yield from json_objects(v)
    elif isinstance(value, list):
        for v in value:
            yield from json_objects(v)


@pytest.mark.parametrize("logged", [True, False], ids=["a logged model", "a folder of the run"])
def test_a_source_relative_to_a_run_is_served(server, mlflow_at, logged):
    import mlflow.onnx
    import onnx

    client = mlflow_at(server)
    with mlflow.start_run() as run:
        if logged:
            mlflow.onnx.log_model(onnx.load(str(EXAMPLES / "v2" / "model.onnx")), name="model", pip_requirements=["onnxruntime"])
        else:
            mlflow.log_artifacts(str(EXAMPLES / "v2"), "model")
    client.create_registered_model("relative")
    version = client.create_model_version("relative", f"runs:/{run.info.run_id}/model", run_id=run.info.run_id)
    promote(client, "relative", version.version)
    wait_until(lambda: server.post("/endpoints/relative/invocations", json=split_body(3)).ok, what="the version answers")
    check_answer(server.post("/endpoints/relative/invocations", json=split_body(3)), 3)
    files = server.get("/model-versions/get-artifact", params={"name": "relative", "version": version.version, "path": "MLmodel"})
    assert files.ok and "flavors" in files.text


def test_deleting_a_routed_version_is_refused(server, mlflow_at):
    import mlflow

    client = mlflow_at(server)
    register_wine(mlflow, "wine", "v2")
    promote(client, "wine", 1)
    wait_until(lambda: server.post("/invocations", json=split_body()).ok, what="wine answers")
    url = server.url + "/api/2.0/mlflow/model-versions/delete"
    refused = requests.delete(url, json={"name": "wine", "version": "1"}, timeout=30)
    assert refused.status_code == 409 and "wine" in refused.json()["message"], refused.text
    assert server.post("/invocations", json=split_body()).ok
    assert requests.delete(url, json={"name": "wine", "version": "1", "force": True}, timeout=30).status_code == 200


def test_trace_context_and_metrics(wine):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = invoke(wine, json=split_body(), headers={"traceparent": parent})
    assert answer.headers["traceparent"].split("-")[1] == parent.split("-")[1]
    text = wine.get("/metrics").text
    count = re.search(r'sluice_request_duration_seconds_count\{[^}]*endpoint="wine"[^}]*\} (\d+)', text)
    assert count and int(count.group(1)) > 0, text[:2000]
    line = count.group(0)
    for attribute in ("endpoint", "model", "version", "stage", "arm", "code"):
        assert f'{attribute}="' in line
    assert re.search(r'sluice_request_duration_seconds_bucket\{[^}]*le="', text)
