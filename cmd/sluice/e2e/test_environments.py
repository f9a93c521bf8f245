"""The Python environments of models: built while the endpoint says so, read about, shared, kept, pruned."""

import os
import pathlib
import subprocess
import sys
import time

import pytest
import requests

from conftest import BINARY, Server, own_environ, wait_until

PINNED = ["mlflow", "numpy", "pandas", "pyarrow"]


def requirements():
    """What a worker needs, at the versions of the tests' own environment, which uv has in its cache."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in PINNED]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("environments")
    cache = os.environ.get("UV_CACHE_DIR") or pathlib.Path.home() / ".cache" / "uv"
    s = Server(
        root / "data", "--env-dir", str(root / "envs"), "--uv", str(pathlib.Path(sys.executable).parent / "uv"),
        "--python-workers", "1", env={"UV_CACHE_DIR": str(cache)},
    ).start()
    yield s
    s.stop()


def log_model(server, name, extra=()):
    """Logs a model whose code needs nothing but MLflow, registers it and returns the version."""
    import mlflow.pyfunc

    class Doubler(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input):
            return model_input * 2

    import pandas as pd

    frame = pd.DataFrame({"x": [1.0, 2.0]})
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="model", python_model=Doubler(), registered_model_name=name, pip_requirements=[*requirements(), *extra],
            signature=mlflow.models.infer_signature(frame, frame),
        )
    return str(info.registered_model_version)


def ask(server, path):
    began = time.monotonic()
    answer = requests.post(server.url + path, json={"dataframe_split": {"columns": ["x"], "data": [[3.0]]}}, timeout=30)
    return answer, time.monotonic() - began


def test_the_life_of_an_environment(server, mlflow_at):
    client = mlflow_at(server)
    version = log_model(server, "doubler")
    client.transition_model_version_stage("doubler", version, "Production")

    # From the first moment on the endpoint is there, and says how far its environment is.
    paths = ["/endpoints/doubler/invocations", "/models/doubler/stages/Production/invocations", f"/models/doubler/versions/{version}/invocations", "/invocations"]
    waits, texts = [], set()

    def answers():
        for path in paths:
            answer, took = ask(server, path)
            assert answer.status_code in (200, 503), f"{path}: {answer.status_code} {answer.text}"
            if answer.status_code == 503:
                waits.append(took)
                assert answer.headers["Retry-After"] and answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE", answer.text
                texts.add(answer.json()["message"])
        return answer.status_code == 200 and answer

    answer = wait_until(answers, 240, "an answer of the model")
    assert answer.json() == {"predictions": [{"x": 6.0}]}
    assert waits and sorted(waits)[len(waits) // 2] < 1, f"the median wait for a 503 was {sorted(waits)[len(waits) // 2]:.2f} s"
    assert any("being loaded (" in t for t in texts), texts

    from databricks.sdk import WorkspaceClient

    serving = WorkspaceClient(host=server.url, token="none").serving_endpoints
    served = serving.get("doubler").config.served_entities[0].name
    logs = serving.build_logs("doubler", served).logs
    assert "Installed" in logs and "mlflow==" in logs, logs

    # A version whose environment cannot be built changes nothing for those who ask, and the state says why.
    bad = log_model(server, "doubler", extra=["sluice-no-such-package==1.0"])
    client.transition_model_version_stage("doubler", bad, "Production", archive_existing_versions=True)

    def failed():
        state = serving.get("doubler").as_dict()
        entity = server.get("/api/2.0/serving-endpoints/doubler").json()["config"]["served_entities"][0]
        return state["state"]["config_update"] == "UPDATE_FAILED" and entity

    entity = wait_until(failed, 120, "the failure in the endpoint's state")
    assert "sluice-no-such-package" in entity["state"]["deployment_state_message"], entity
    assert "sluice-no-such-package" in serving.build_logs("doubler", served).logs
    answer, _ = ask(server, "/endpoints/doubler/invocations")
    assert answer.status_code == 200 and answer.headers["X-Sluice-Model-Version"] == version

    # Another registered model of the same requirements needs no build.
    again = log_model(server, "shared")
    client.transition_model_version_stage("shared", again, "Production")
    wait_until(lambda: ask(server, "/endpoints/shared/invocations")[0].status_code == 200, 120, "the second model")
    listed = environments(server, "list").splitlines()
    assert len(listed) == 2 and " true " in listed[1], listed

    # What is in use stays; the rest goes.
    assert len(environments(server, "prune", "--all").splitlines()) == 1
    server.stop()
    assert len(environments(server, "prune", "--all").splitlines()) == 2


def environments(server, *args):
    command = [str(BINARY), "models", "env", *args, "--env-dir", str(server.data_dir.parent / "envs")]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=own_environ(), timeout=120).stdout
