"""Runs, experiments and registered models move from one server to another as one file, ids kept, and the real client sees no difference."""

import math
import os
import subprocess

import databases
import pytest
import requests
from conftest import BINARY, Server, register_wine, wait_until, wine_rows

BIG_STEP, BIG_TIME = 2**40, 2**61
METRICS = [("loss", 0.1, 1000, 0), ("loss", math.nan, 1001, 1), ("loss", math.inf, 1002, 2), ("loss", -math.inf, 1003, 3), ("loss", 5e-324, BIG_TIME, BIG_STEP), ("acc", 1 / 3, 1, -5)]


def command(server, *args, code=0, stdin=None):
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "MLFLOW_"))}
    args = [str(BINARY), *args, "--data-dir", str(server.data_dir), *server.args]
    done = subprocess.run(args, capture_output=True, timeout=120, env=environ, cwd=server.data_dir.parent, input=stdin)
    text = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == code, text
    return text


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("source") / "data").start()
    yield s
    s.stop()


@pytest.fixture
def target(tmp_path):
    s = Server(tmp_path / "target").start()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def filled(source, tmp_path_factory):
    """One experiment with everything that a bundle holds: fills the source once and returns the ids."""
    import mlflow
    import pandas as pd
    from mlflow.entities import Metric

    mlflow.set_tracking_uri(source.url)
    mlflow.set_registry_uri(source.url)
    client = mlflow.MlflowClient()
    client.create_experiment("filler")  # so that ids differ
    experiment = client.create_experiment("wines", tags={"team": "é/日本"})
    mlflow.set_experiment(experiment_id=experiment)
    folder = tmp_path_factory.mktemp("files")
    (folder / "sub").mkdir()
    (folder / "note.txt").write_text("hello\n")
    (folder / "sub" / "é 1%.bin").write_bytes(bytes(range(256)) * 1000)
    (folder / "empty").write_bytes(b"")
    with mlflow.start_run(run_name="first") as run:
        client.log_batch(run.info.run_id, metrics=[Metric(*m) for m in METRICS])
        mlflow.log_params({"alpha": "0.5", "text": "quote \" backslash \\ \n line"})
        mlflow.set_tags({"k": "v" * 7000, "mlflow.note.content": "# ☃"})
        mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"x": [1, 2]}), name="train"), context="training", tags={"a": "b"})
        mlflow.log_input(mlflow.data.from_pandas(pd.DataFrame({"x": [3]}), name="test"), context="test")
        mlflow.log_artifacts(str(folder))
    with mlflow.start_span("outer") as span:
        span.set_attribute("n", 1)
    trace = span.trace_id
    mlflow.flush_trace_async_logging()
    mlflow.log_feedback(trace_id=trace, name="good", value=True)
    info = register_wine(mlflow, "wine", "v2")
    again = register_wine(mlflow, "wine", "v1")
    client.set_registered_model_alias("wine", "champion", "2")
    client.transition_model_version_stage("wine", "1", "Production")
    client.set_model_version_tag("wine", "1", "checked", "yes")
    client.update_registered_model("wine", "of wines")
    client.set_registered_model_tag("wine", "owner", "me")
    mlflow.log_metric("f1", 0.75, model_id=info.model_id, run_id=info.run_id)
    with mlflow.start_run(run_name="gone") as gone:
        mlflow.log_metric("m", 1)
    client.delete_run(gone.info.run_id)
    return {"experiment": experiment, "run": run.info.run_id, "gone": gone.info.run_id, "trace": trace, "models": [info.model_id, again.model_id], "model_runs": [info.run_id, again.run_id]}


def artifacts_of(mlflow, run_id, path=None):
    """Every file of a run with its bytes."""
    out = {}
    for f in mlflow.artifacts.list_artifacts(run_id=run_id, artifact_path=path):
        if f.is_dir:
            out |= artifacts_of(mlflow, run_id, f.path)
        else:
            local = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=f.path)
            out[f.path] = open(local, "rb").read()
    return out


def run_as_seen(mlflow, client, run_id):
    run = client.get_run(run_id)
    seen = run.to_dictionary()
    seen["info"].pop("experiment_id")
    seen["info"].pop("artifact_uri")
    for key in [k for k in seen["data"]["tags"] if k.startswith("sluice.serving_run.")]:  # noted by a server that serves its model
        seen["data"]["tags"].pop(key)
    seen["data"]["metrics"] = {k: repr(v) for k, v in run.data.metrics.items()}
    history = {key: sorted((repr(m.value), m.timestamp, m.step) for m in client.get_metric_history(run_id, key)) for key in run.data.metrics}
    inputs = [(i.dataset.to_dictionary(), sorted((t.key, t.value) for t in i.tags)) for i in run.inputs.dataset_inputs]
    outputs = [(o.model_id, o.step) for o in run.outputs.model_outputs] if run.outputs else []
    seen["inputs"] = seen["outputs"] = None
    return seen, history, sorted(map(repr, inputs)), outputs, artifacts_of(mlflow, run_id)


def version_as_seen(client, name, version):
    v = client.get_model_version(name, version)
    for key in [k for k in v.tags if k.startswith("sluice.serving_run.")]:  # noted by a server that serves it
        v.tags.pop(key)
    return {k: getattr(v, k) for k in ("name", "version", "creation_timestamp", "last_updated_timestamp", "description", "current_stage", "source", "run_id", "status", "tags", "aliases", "model_id")}


def model_as_seen(client, model_id):
    m = client.get_logged_model(model_id).to_dictionary()
    for moves in ("experiment_id", "artifact_location", "artifact_uri"):
        m.pop(moves, None)
    m["metrics"] = sorted(repr(metric.to_dictionary()) for metric in m.get("metrics") or [])
    return m


def trace_as_seen(client, trace_id):
    t = client.get_trace(trace_id)
    info = t.info
    return (info.trace_id, info.request_time, info.state, [(s.name, s.span_id, s.attributes, s.start_time_ns, s.end_time_ns) for s in t.data.spans],
            [(a.name, a.value, a.assessment_id) for a in info.assessments], info.request_metadata)


def test_run(filled, source, target, mlflow_at, tmp_path):
    import mlflow

    file = tmp_path / "run.sluice.tar.zst"
    text = command(source, "export", "run", filled["run"], "-o", str(file))
    assert "3 files" in text and "6 metrics" in text, text
    assert "is there already" in command(source, "export", "run", filled["run"], "-o", str(file), code=1)
    before = run_as_seen(mlflow, mlflow_at(source), filled["run"])

    client = mlflow_at(target)
    client.create_experiment("other")  # has the id that "wines" would keep
    client.create_experiment("more")
    text = command(target, "import", str(file))
    assert "its own was taken" in text, text
    assert run_as_seen(mlflow, client, filled["run"]) == before
    wines = client.get_experiment_by_name("wines")
    assert (wines.tags["team"], client.get_run(filled["run"]).info.experiment_id) == ("é/日本", wines.experiment_id)
    assert client.get_run(filled["run"]).info.artifact_uri == f"mlflow-artifacts:/{wines.experiment_id}/{filled['run']}/artifacts"
    assert filled["run"] in command(target, "import", str(file), code=1)
    assert "left alone" in command(target, "import", str(file), "--skip-existing")
    assert run_as_seen(mlflow, client, filled["run"]) == before
    piped = subprocess.run([str(BINARY), "export", "run", filled["run"], "-o", "-", "--data-dir", str(source.data_dir)], capture_output=True, timeout=120, check=True).stdout
    assert "left alone" in command(target, "import", "-", "--skip-existing", stdin=piped)
    assert "cut off" in command(target, "import", "-", "--skip-existing", code=1, stdin=piped[:-1])
    client.log_metric(filled["run"], "later", 1)  # it is a run like any other
    assert client.create_experiment("after") == str(int(wines.experiment_id) + 1)


def test_experiment_over_http(filled, source, target, mlflow_at):
    import mlflow

    client = mlflow_at(source)
    runs = [filled["run"], filled["gone"], *filled["model_runs"]]
    before = [run_as_seen(mlflow, client, r) for r in runs]
    models = [model_as_seen(client, m) for m in filled["models"]]
    trace = trace_as_seen(client, filled["trace"])
    with source.get("/api/2.0/sluice/bundles/export", params={"kind": "experiment", "id": "wines"}, stream=True) as answer:
        assert answer.status_code == 200 and "experiment-" in answer.headers["Content-Disposition"], answer.text
        bundle = answer.content

    client = mlflow_at(target)
    report = target.post("/api/2.0/sluice/bundles/import", data=bundle)
    assert report.status_code == 200, report.text
    report = report.json()
    assert report["experiments"] == {filled["experiment"]: filled["experiment"]} == {i: i for i in report["experiments_made"]}
    assert report["rows"]["runs"] == len(runs) and report["skipped_count"] == 0
    assert [run_as_seen(mlflow, client, r) for r in runs] == before
    assert [model_as_seen(client, m) for m in filled["models"]] == models
    assert trace_as_seen(client, filled["trace"]) == trace
    assert client.get_run(filled["gone"]).info.lifecycle_stage == "deleted"

    again = target.post("/api/2.0/sluice/bundles/import", data=bundle)
    assert again.status_code == 400 and again.json()["error_code"] == "RESOURCE_ALREADY_EXISTS" and filled["run"] in again.text
    again = target.post("/api/2.0/sluice/bundles/import?skip_existing=true", data=bundle)
    assert again.status_code == 200 and again.json()["skipped_count"] == 7 and again.json()["files"] == 0, again.text
    for cut in (0, 100, len(bundle) // 2, len(bundle) - 1):
        refused = target.post("/api/2.0/sluice/bundles/import?skip_existing=true", data=bundle[:cut])
        assert refused.status_code == 400 and refused.json()["error_code"] == "INVALID_PARAMETER_VALUE", (cut, refused.text)
    assert source.get("/api/2.0/sluice/bundles/export", params={"kind": "run", "id": "0" * 32}).status_code == 404
    assert not list((target.data_dir / "artifacts").glob(".sluice-uploads/*")) and not list((target.data_dir / "tmp").glob("*"))


def predicted(mlflow, rows):
    import numpy
    import onnxruntime

    session = onnxruntime.InferenceSession(mlflow.onnx.load_model("models:/wine@champion").SerializeToString(), providers=["CPUExecutionProvider"])
    columns = [numpy.array([[row[i]] for row in rows["data"]], dtype=numpy.float32) for i in range(len(rows["columns"]))]
    inputs = session.get_inputs()
    feed = dict(zip([i.name for i in inputs], columns)) if len(inputs) > 1 else {inputs[0].name: numpy.concatenate(columns, axis=1)}
    return session.run(None, feed)


def test_registered_model_is_served(filled, source, target, mlflow_at, tmp_path):
    import mlflow

    client = mlflow_at(source)
    versions = [version_as_seen(client, "wine", v) for v in ("1", "2")]
    file = tmp_path / "wine.sluice.tar.zst"
    command(source, "export", "model", "wine", "-o", str(file))
    client = mlflow_at(target)
    with file.open("rb") as f:
        answer = requests.post(target.url + "/api/2.0/sluice/bundles/import", data=f, timeout=60)
    assert answer.status_code == 200, answer.text
    assert [version_as_seen(client, "wine", v) for v in ("1", "2")] == versions
    wine = client.get_registered_model("wine")
    assert (wine.description, wine.tags, wine.aliases) == ("of wines", {"owner": "me"}, {"champion": "2"})
    for run in filled["model_runs"]:
        assert client.get_run(run).info.run_id == run
    rows = wine_rows(3)
    here = predicted(mlflow, rows)
    mlflow_at(source)
    assert repr(predicted(mlflow, rows)) == repr(here)
    mlflow_at(target)
    wait_until(lambda: target.post("/invocations", json={"dataframe_split": rows}, headers={"X-Sluice-Endpoint": "wine"}).ok, 60, "the imported model")
    with file.open("rb") as f:
        refused = requests.post(target.url + "/api/2.0/sluice/bundles/import", data=f, timeout=60)
    assert refused.status_code == 400 and refused.json()["error_code"] == "RESOURCE_ALREADY_EXISTS", refused.text


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_other_databases_and_back(filled, source, mlflow_at, tmp_path, database):
    import mlflow

    client = mlflow_at(source)
    before = [run_as_seen(mlflow, client, r) for r in (filled["run"], filled["model_runs"][0])]
    trace = trace_as_seen(client, filled["trace"])
    versions = [version_as_seen(client, "wine", v) for v in ("1", "2")]
    experiment, model = tmp_path / "e.sluice.tar.zst", tmp_path / "m.sluice.tar.zst"
    command(source, "export", "experiment", filled["experiment"], "-o", str(experiment))
    command(source, "export", "model", "wine", "-o", str(model))
    with getattr(databases, database)() as uri:
        middle = Server(tmp_path / "middle", "--backend-store-uri", uri)
        middle.data_dir.mkdir()
        command(middle, "import", str(experiment))
        command(middle, "import", str(model), "--skip-existing")  # its runs came with the experiment
        middle.start()
        client = mlflow_at(middle)
        assert [run_as_seen(mlflow, client, r) for r in (filled["run"], filled["model_runs"][0])] == before
        assert trace_as_seen(client, filled["trace"]) == trace
        assert [version_as_seen(client, "wine", v) for v in ("1", "2")] == versions
        assert int(client.create_experiment("next")) > int(filled["experiment"])  # the database counts on from what was imported
        back = tmp_path / "back.sluice.tar.zst"
        command(middle, "export", "experiment", "wines", "-o", str(back))
        middle.stop()
    home = Server(tmp_path / "home").start()
    command(home, "import", str(back))
    client = mlflow_at(home)
    assert [run_as_seen(mlflow, client, r) for r in (filled["run"], filled["model_runs"][0])] == before
    assert trace_as_seen(client, filled["trace"]) == trace
    home.stop()
