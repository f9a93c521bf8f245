"""A model that was logged with MLflow 2 is served in the environment that it asks for, with that MLflow in it."""

import os
import pathlib
import subprocess
import sys

import mlflow
import pytest
from conftest import Server, own_environ, wait_until

UV = pathlib.Path(sys.executable).parent / "uv"
PACKAGES = ["mlflow-skinny==2.22.0", "pandas<3", "numpy<3"]

# Run by a Python of its own, which has MLflow 2.
SAVE = """
import sys, mlflow, mlflow.pyfunc, pandas as pd
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

class Scaler(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"x": model_input["x"] * params["by"], "s": model_input["s"], "mlflow": mlflow.__version__})

inputs = Schema([ColSpec(DataType.double, "x"), ColSpec(DataType.string, "s", required=False)])
signature = mlflow.models.ModelSignature(inputs=inputs, params=ParamSchema([ParamSpec("by", DataType.double, 2.0)]))
mlflow.pyfunc.save_model(sys.argv[1], python_model=Scaler(), signature=signature, pip_requirements=sys.argv[2:])
"""


@pytest.fixture
def saved(tmp_path):
    environ, python = own_environ(), tmp_path / "mlflow2" / "bin" / "python"
    for args in (["venv", "-q", "--python", sys.executable, str(tmp_path / "mlflow2")], ["pip", "install", "-q", "--python", str(python), *PACKAGES]):
        subprocess.run([str(UV), *args], check=True, env=environ, timeout=300)
    at = tmp_path / "scaler"
    subprocess.run([str(python), "-c", SAVE, str(at), *PACKAGES], check=True, env=environ, cwd=tmp_path, timeout=120)  # MLflow 2 makes ./mlruns
    return at


@pytest.fixture
def server(tmp_path):
    cache = os.environ.get("UV_CACHE_DIR") or pathlib.Path.home() / ".cache" / "uv"
    s = Server(tmp_path / "data", "--env-dir", str(tmp_path / "envs"), "--uv", str(UV), "--python-workers", "1", env={"UV_CACHE_DIR": str(cache)}).start()
    yield s
    s.stop()


def test_a_model_of_mlflow_2(saved, server, mlflow_at):
    client = mlflow_at(server)
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(saved), "model")
    client.create_registered_model("scaler")
    client.create_model_version("scaler", f"runs:/{run.info.run_id}/model", run.info.run_id)
    client.transition_model_version_stage("scaler", "1", "Production")
    body = {"dataframe_split": {"columns": ["x", "s"], "data": [[1.5, "a"], [2, None]]}, "params": {"by": 3.0}}

    def answered():
        answer = server.post("/endpoints/scaler/invocations", json=body)
        return answer.ok and answer

    answer = wait_until(answered, 300, "the model")
    assert answer.json() == {"predictions": [{"x": 4.5, "s": "a", "mlflow": "2.22.0"}, {"x": 6.0, "s": None, "mlflow": "2.22.0"}]}
