"""Point 2 of the tour: the unmodified MLflow client trains, logs and registers; everything is there again."""

import math
import os
import signal
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import requests
from conftest import own_environ, register_wine, split_body, wait_until


def test_run_with_everything_comes_back(shared_server, mlflow_at, tmp_path):
    import mlflow

    client = mlflow_at(shared_server)
    mlflow.set_experiment("everything")
    with mlflow.start_run(run_name="first") as run:
        mlflow.log_params({"alpha": 0.5, "depth": 3, "path/like": "x"})
        for step in range(5):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        mlflow.log_metric("nan", float("nan"))
        mlflow.log_metric("inf", float("inf"))
        mlflow.set_tag("team", "cellar")
        (tmp_path / "note.txt").write_text("hello wine")
        mlflow.log_artifact(str(tmp_path / "note.txt"), "notes")
        mlflow.log_dict({"a": [1, 2]}, "config.json")
        frame = pd.DataFrame({"a": [1.0, 2.0], "b": [0, 1]})
        mlflow.log_input(mlflow.data.from_pandas(frame, name="tiny", targets="b"), context="training")

    got = client.get_run(run.info.run_id)
    assert got.info.status == "FINISHED" and got.info.run_name == "first" and got.info.end_time >= got.info.start_time
    assert got.data.params == {"alpha": "0.5", "depth": "3", "path/like": "x"}
    assert got.data.tags["team"] == "cellar" and got.data.tags["mlflow.runName"] == "first"
    assert got.data.metrics["loss"] == pytest.approx(0.2) and math.isnan(got.data.metrics["nan"])
    assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == [0, 1, 2, 3, 4]
    assert [d.dataset.name for d in got.inputs.dataset_inputs] == ["tiny"]
    assert sorted(f.path for f in client.list_artifacts(run.info.run_id)) == ["config.json", "notes"]
    assert [(f.path, f.file_size) for f in client.list_artifacts(run.info.run_id, "notes")] == [("notes/note.txt", 10)]
    local = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/notes/note.txt")
    assert open(local).read() == "hello wine"
    assert mlflow.artifacts.load_dict(f"runs:/{run.info.run_id}/config.json") == {"a": [1, 2]}


def test_a_generated_name_is_of_mlflows_words(shared_server, mlflow_at):
    from mlflow.utils import name_utils

    client = mlflow_at(shared_server)
    for _ in range(20):
        adjective, noun, number = client.create_run("0").info.run_name.split("-")
        assert adjective in name_utils._GENERATOR_PREDICATES and noun in name_utils._GENERATOR_NOUNS and number.isdigit()


def test_search_filters_and_orders(shared_server, mlflow_at):
    import mlflow

    mlflow_at(shared_server)
    mlflow.set_experiment("search")
    for i in range(12):
        with mlflow.start_run(run_name=f"r{i}"):
            mlflow.log_metric("m", i)
            mlflow.log_param("kind", "even" if i % 2 == 0 else "odd")
    runs = mlflow.search_runs(
        experiment_names=["search"], filter_string="metrics.m >= 4 AND params.kind = 'even'", order_by=["metrics.m DESC"]
    )
    assert list(runs["metrics.m"]) == [10, 8, 6, 4]
    assert list(runs["tags.mlflow.runName"]) == ["r10", "r8", "r6", "r4"]
    with pytest.raises(mlflow.exceptions.MlflowException, match="Invalid"):
        mlflow.search_runs(experiment_names=["search"], filter_string="metrics.m >> 4")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("search")
    page = client.search_runs([experiment.experiment_id], max_results=5)
    seen = list(page)
    while page.token:
        page = client.search_runs([experiment.experiment_id], max_results=5, page_token=page.token)
        seen += page
    assert len({r.info.run_id for r in seen}) == 12 == len(seen)


def test_experiments_live_and_die(shared_server, mlflow_at):
    client = mlflow_at(shared_server)
    assert client.get_experiment("0").name == "Default"
    eid = client.create_experiment("mortal", tags={"a": "1"})
    client.rename_experiment(eid, "renamed")
    client.set_experiment_tag(eid, "b", "2")
    got = client.get_experiment(eid)
    assert (got.name, got.tags) == ("renamed", {"a": "1", "b": "2"})
    client.delete_experiment(eid)
    assert client.get_experiment(eid).lifecycle_stage == "deleted"
    client.restore_experiment(eid)
    assert client.get_experiment_by_name("renamed").experiment_id == eid


def test_logged_and_registered_model(shared_server, mlflow_at):
    import mlflow

    client = mlflow_at(shared_server)
    mlflow.set_experiment("models")
    info = register_wine(mlflow, "wine-tracking")
    version = client.get_model_version("wine-tracking", "1")
    assert version.run_id == info.run_id and version.status == "READY"
    assert client.get_logged_model(info.model_id).source_run_id == info.run_id
    client.set_registered_model_alias("wine-tracking", "champion", 1)
    assert client.get_model_version_by_alias("wine-tracking", "champion").version == "1"
    client.set_model_version_tag("wine-tracking", "1", "approved", "yes")
    client.update_registered_model("wine-tracking", description="grapes")
    got = client.search_registered_models("name = 'wine-tracking'")[0]
    assert got.description == "grapes" and got.aliases == {"champion": "1"}
    assert client.search_model_versions("name='wine-tracking'")[0].tags == {"approved": "yes"}
    with pytest.raises(mlflow.exceptions.MlflowException, match="RESOURCE_DOES_NOT_EXIST"):
        client.get_model_version("wine-tracking", "9")


def test_sklearn_model_is_kept_whole(shared_server, mlflow_at):
    import mlflow
    import mlflow.sklearn
    from sklearn.datasets import load_wine
    from sklearn.linear_model import LinearRegression

    mlflow_at(shared_server)
    mlflow.set_experiment("models")
    data, target = load_wine(return_X_y=True)
    fitted = LinearRegression().fit(data, target)
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            fitted, name="linear", serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
        )
    again = mlflow.sklearn.load_model(info.model_uri)
    assert np.array_equal(again.coef_, fitted.coef_)


def test_mlflow_server_opens_the_same_database(server, mlflow_at):
    """The file is MLflow's own: `mlflow server` serves what was written here, and we serve what it wrote."""
    import mlflow

    mlflow_at(server)
    mlflow.set_experiment("handover")
    with mlflow.start_run(run_name="ours"):
        mlflow.log_metric("m", 1.5, step=2**40)
    register_wine(mlflow, "handed-over")
    server.stop()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{server.data_dir}/sluice.db", "--artifacts-destination", str(server.data_dir / "artifacts")]
    theirs = subprocess.Popen(command + stores, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=own_environ())
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: requests.get(url + "/health", timeout=5).ok, seconds=120, what="mlflow server")
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("handover")
        runs = {r.info.run_name: r for r in client.search_runs([experiment.experiment_id])}
        assert runs["ours"].data.metrics == {"m": 1.5}
        assert client.get_metric_history(runs["ours"].info.run_id, "m")[0].step == 2**40
        assert client.get_model_version("handed-over", "1").run_id == runs["handed-over-v2"].info.run_id
        client.set_experiment_tag(experiment.experiment_id, "by", "mlflow")
        client.transition_model_version_stage("handed-over", "1", "Production")
    finally:
        os.killpg(theirs.pid, signal.SIGTERM)
        theirs.wait(timeout=30)
    server.start()
    client = mlflow_at(server)
    assert client.get_experiment_by_name("handover").tags["by"] == "mlflow"
    wait_until(lambda: server.post("/endpoints/handed-over/invocations", json=split_body()).ok, what="the version that mlflow server promoted")
