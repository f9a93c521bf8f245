"""A model whose requirements name no converter is converted all the same: in an environment that has them beside its own packages, built once."""

import json
import os
import pathlib
import sys
from importlib.metadata import version

import pytest
from conftest import Server, wait_until

LOAD_SECONDS = 300  # for two environments and a conversion on a busy machine
CONVERTERS = ("skl2onnx", "onnxmltools", "onnx")


@pytest.fixture
def server(tmp_path):
    """A server that builds environments, of packages that the installer has downloaded for the tests' own."""
    cache = os.environ.get("UV_CACHE_DIR") or pathlib.Path.home() / ".cache" / "uv"
    s = Server(
        tmp_path / "data", "--env-dir", str(tmp_path / "envs"), "--uv", str(pathlib.Path(sys.executable).parent / "uv"), "--python-workers", "1",
        env={"UV_CACHE_DIR": str(cache)},
    ).start()
    yield s
    s.stop()


def log_forest(client, name, requirements):
    import mlflow.sklearn
    from sklearn.datasets import load_wine
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_wine(return_X_y=True, as_frame=True)
    model = RandomForestClassifier(n_estimators=5, random_state=0).fit(x, y)
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            model, name="model", registered_model_name=name, signature=mlflow.models.infer_signature(x, model.predict(x)),
            serialization_format="cloudpickle", pip_requirements=requirements,
        )
    client.transition_model_version_stage(name, info.registered_model_version, "Production")
    return info, x


def pinned(*names):
    return [f"{name}=={version(name)}" for name in names]


def test_converters_are_installed_beside_what_the_model_asks_for(server, mlflow_at):
    client = mlflow_at(server)
    info, rows = log_forest(client, "forest", pinned("mlflow-skinny", "numpy", "pandas", "scikit-learn"))

    def ready():
        entity = server.get("/api/2.0/serving-endpoints/forest").json()["config"]["served_entities"][0]
        assert entity["state"]["deployment"] != "DEPLOYMENT_FAILED", entity
        return entity["state"]["deployment"] == "DEPLOYMENT_READY" and entity

    entity = wait_until(ready, LOAD_SECONDS, "the forest")
    tags = client.get_model_version("forest", "1").tags
    assert entity["served_by"] == "onnx (converted)" and tags["sluice.conversion.verdict"] == "pass", (entity, tags)
    assert f"scikit-learn {version('scikit-learn')}" in tags["sluice.conversion.versions"] and "skl2onnx" in tags["sluice.conversion.versions"], tags

    import mlflow.pyfunc

    body = {"dataframe_split": json.loads(rows.to_json(orient="split", index=False, double_precision=15))}
    answer = server.post("/endpoints/forest/invocations", json=body)
    assert answer.json() == {"predictions": mlflow.pyfunc.load_model(info.model_uri).predict(rows).tolist()}

    # Two environments: the model's own, as it asks for it, and the one that converted, which has the converters besides.
    having = {tuple(sorted(c for c in CONVERTERS if has(e, c))) for e in (server.data_dir.parent / "envs").glob("*/*/pyvenv.cfg")}
    assert having == {(), tuple(sorted(CONVERTERS))}, having


def has(config, package):
    return any(config.parent.glob(f"lib/python*/site-packages/{package}"))
