"""A version that has to be converted first: nobody waits for that, and its endpoint tells how far it is."""

import sys

import pytest
import requests
from conftest import Server, wait_until, wine_rows

BODY = {"dataframe_split": wine_rows(3)}


@pytest.fixture
def server(tmp_path):
    s = Server(tmp_path / "data", "--python", sys.executable, "--python-workers", "1").start()
    yield s
    s.stop()


def log_forest(client, trees):
    import mlflow.sklearn
    from sklearn.datasets import load_wine
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_wine(return_X_y=True, as_frame=True)
    model = RandomForestClassifier(n_estimators=trees, random_state=0).fit(x, y)
    info = mlflow.sklearn.log_model(
        model, name="model", registered_model_name="forest", signature=mlflow.models.infer_signature(x, model.predict(x)), serialization_format="cloudpickle", pip_requirements=["mlflow"]
    )
    client.transition_model_version_stage("forest", info.registered_model_version, "Production", archive_existing_versions=True)
    return str(info.registered_model_version)


def test_nobody_waits_for_a_conversion(server, mlflow_at):
    client = mlflow_at(server)

    def ask():
        return requests.post(f"{server.url}/endpoints/forest/invocations", json=BODY, timeout=30)

    first, told = log_forest(client, 3), set()

    def served():
        answer = ask()
        if answer.status_code == 503:
            assert answer.headers["Retry-After"]
            told.add(answer.json()["message"])
        return answer.ok and answer

    answer = wait_until(served, 240, "the first version")
    assert any("being converted to ONNX" in text for text in told), told
    expected = answer.json()

    second, reasons = log_forest(client, 4), set()
    assert (first, second) == ("1", "2")

    def switched():
        answer = ask()
        assert answer.status_code == 200 and answer.json() == expected, answer.text
        entity = server.get("/api/2.0/serving-endpoints/forest").json()["config"]["served_entities"][0]
        reasons.add(entity["state"]["deployment_state_message"])
        return answer.headers["X-Sluice-Model-Version"] == second and entity

    entity = wait_until(switched, 240, "the second version")
    assert entity["served_by"] == "onnx (converted)"
    assert any("being converted to ONNX" in text for text in reasons), reasons
