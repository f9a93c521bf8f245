"""The same bodies to MLflow's scoring server and to ours: a model must be given the same, or the difference stands in schema_differences.txt.

The models tell what they were given: names, types and values. MLflow's answers come from the application that `mlflow models serve` runs, one
process for all models; ours from a Python worker for each.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest
import requests
import schema_cases
from conftest import Server, own_environ, real_client, wait_until

HERE = pathlib.Path(__file__).parent
LOAD_SECONDS = 300

# Run as a program of its own: all models behind one port, each under its name.
STOCK = """
import sys, uvicorn, fastapi, mlflow.pyfunc
from mlflow.pyfunc import scoring_server
app = fastapi.FastAPI()
for name in sys.argv[3:]:
    app.mount("/" + name, scoring_server.init(mlflow.pyfunc.load_model(sys.argv[1] + "/" + name)))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""

# A model from code, so that it needs nothing of this file.
TELLER = """
import mlflow
import numpy as np
import pandas as pd

def tell(value):
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), [tell(v) for v in value.ravel().tolist()]]
    if isinstance(value, dict):
        return {str(k): tell(v) for k, v in sorted(value.items())}
    if isinstance(value, list):
        return [tell(v) for v in value]
    missing = value is None or value is pd.NaT or value is pd.NA or value != value
    return [type(value).__name__, "missing" if missing else str(value)]

class Teller(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import json
        if isinstance(model_input, pd.DataFrame):
            told = {str(c): [str(model_input[c].dtype), [tell(v) for v in model_input[c].tolist()]] for c in model_input.columns}
            rows = len(model_input)
        else:
            told = tell(model_input)
            first = next(iter(model_input.values())) if isinstance(model_input, dict) else model_input
            rows = len(first)
        return [json.dumps([told, {k: tell(v) for k, v in (params or {}).items()}])] * rows

mlflow.models.set_model(Teller())
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    import mlflow.pyfunc

    root = tmp_path_factory.mktemp("models")
    code = root / "teller.py"
    code.write_text(TELLER)
    for name, signature in schema_cases.models().items():
        mlflow.pyfunc.save_model(str(root / name), python_model=str(code), signature=signature, pip_requirements=[])
    return root


@pytest.fixture(scope="module")
def stock(saved):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", STOCK, str(saved), str(port), *schema_cases.models()], env=own_environ(), stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: requests.get(f"{url}/scalars/ping", timeout=5).ok, LOAD_SECONDS, "MLflow's scoring server")
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def ours(saved, tmp_path_factory):
    import mlflow

    s = Server(tmp_path_factory.mktemp("sluice") / "data", "--python", sys.executable, "--python-workers", "1", "--conversion", "off").start()
    try:
        with real_client() as point:
            client = point(s)
            for name in schema_cases.models():
                with mlflow.start_run():
                    mlflow.log_artifacts(str(saved / name), "model")
                    run = mlflow.active_run().info.run_id
                client.create_registered_model(name)
                client.create_model_version(name, f"runs:/{run}/model", run)
                client.transition_model_version_stage(name, "1", "Production")
        for name in schema_cases.models():
            wait_until(lambda: s.post(f"/endpoints/{name}/invocations", json={}).status_code != 503, LOAD_SECONDS, f"{name} is loaded")
        yield s
    finally:
        s.stop()


def answer(url, body):
    """(status, what the model was given)."""
    got = requests.post(url, json=body, timeout=60)
    if got.status_code != 200:
        return got.status_code, None
    told = got.json()["predictions"]
    return 200, [json.loads(t) for t in told] if isinstance(told, list) else told


def difference(theirs, mine):
    if theirs == mine:
        return None
    if theirs[0] != mine[0]:
        return f"{theirs[0]} there, {mine[0]} here"
    return f"given {json.dumps(theirs[1][:1])} there, {json.dumps(mine[1][:1])} here"


def test_every_difference_is_explained(stock, ours):
    """The list has a line for each: model, case, the difference, and why. A line that is no longer true fails as well."""
    found = {}
    for model, what, body in schema_cases.cases():
        d = difference(answer(f"{stock}/{model}/invocations", body), answer(f"{ours.url}/endpoints/{model}/invocations", body))
        if d:
            found[f"{model}: {what}"] = d
    listed = {}
    for line in (HERE / "schema_differences.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            case, what, why = (part.strip() for part in line.split(" | "))
            assert len(why) > 20, f"{case}: no reason is given"
            listed[case] = what
    if os.environ.get("SCHEMA_FOUND"):  # for who brings the list up to date
        pathlib.Path(os.environ["SCHEMA_FOUND"]).write_text("".join(f"{k} | {v}\n" for k, v in found.items()))
    assert found == listed
