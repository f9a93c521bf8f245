"""Models of the usual libraries, logged and promoted with the real client, are served as ONNX if that answers as they do, else by Python.

One server for the module: each model is a registered model of its own, whose endpoint follows from its version in Production.
"""

import json
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import Server, real_client, wait_until

warnings.filterwarnings("ignore")
LOAD_SECONDS = 300  # for imports and a conversion on a busy machine


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with the interpreter of these tests for its models."""
    s = Server(tmp_path_factory.mktemp("convert") / "data", "--python", sys.executable, "--python-workers", "1", "--onnx-only-stages", "Staging").start()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def client(served):
    with real_client() as point:
        yield point(served)


def wine():
    from sklearn.datasets import load_wine

    return load_wine(return_X_y=True, as_frame=True)


def people():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.integers(18, 90, 300), "income": rng.normal(4e4, 1e4, 300), "city": rng.choice(["Paris", "Berlin", "Rome"], 300)})
    frame.loc[3, "income"] = np.nan
    return frame, np.where((frame.age > 40) & (frame.city != "Rome"), "yes", "no")


def forest():
    from sklearn.ensemble import RandomForestClassifier

    x, y = wine()
    return "sklearn", RandomForestClassifier(200, max_depth=10, random_state=0).fit(x, y), x, {"serialization_format": "cloudpickle"}


def proba():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = wine()  # saved by skops, the client's default
    return "sklearn", make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), x, {"pyfunc_predict_fn": "predict_proba"}


def pipeline():
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, wanted = people()
    columns = ColumnTransformer([("n", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]), ("c", OneHotEncoder(), ["city"])])
    model = make_pipeline(columns, RandomForestClassifier(20, random_state=0)).fit(frame, wanted)
    return "sklearn", model, frame, {"serialization_format": "cloudpickle"}


def text():
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    notes = ["free money now, click here", "a meeting at noon", "win a prize, it's free", "notes and agenda", "cheap Größe, naïve offer", "lunch with the team"]
    frame = pd.DataFrame({"text": notes * 4})
    model = make_pipeline(ColumnTransformer([("words", TfidfVectorizer(), "text")]), LogisticRegression()).fit(frame, [1, 0] * 12)
    return "sklearn", model, frame.head(6), {"serialization_format": "cloudpickle"}


def lightgbm():
    import lightgbm

    x, y = wine()
    return "lightgbm", lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1).fit(x, y), x, {}


def catboost():
    import catboost

    x, y = wine()
    return "catboost", catboost.CatBoostClassifier(n_estimators=15, depth=4, thread_count=1, verbose=0, allow_writing_files=False).fit(x, y), x, {}


def xgboost():
    import xgboost

    x, y = wine()
    return "xgboost", xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, xgboost.DMatrix(x, label=y), 15), x, {}


def parity():
    """Trees on doubles, whose thresholds the converter writes in 32 bits: values beside a threshold go the other way."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    x, y = wine()
    return "sklearn", HistGradientBoostingClassifier(max_iter=10).fit(x, y), x, {"serialization_format": "cloudpickle"}


def custom():
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    class Logarithm(BaseEstimator, TransformerMixin):
        def fit(self, x, y=None):
            return self

        def transform(self, x):
            return np.log1p(np.abs(x))

    x, y = wine()
    return "sklearn", make_pipeline(Logarithm(), LogisticRegression(max_iter=20)).fit(x, y), x, {"serialization_format": "cloudpickle"}


MODELS = [forest, proba, pipeline, text, lightgbm, xgboost, catboost, parity, custom]


@pytest.fixture(scope="module")
def logged(client):
    """Every model logged, registered and in Production; the server loads them while the tests begin."""
    import mlflow
    import mlflow.catboost
    import mlflow.lightgbm
    import mlflow.sklearn
    import mlflow.xgboost

    infos = {}
    for make in MODELS:
        flavor, model, frame, more = make()
        with mlflow.start_run(run_name=make.__name__):
            infos[make.__name__] = getattr(mlflow, flavor).log_model(
                model, name="model", registered_model_name=make.__name__, input_example=frame.head(6), pip_requirements=["scikit-learn"], **more
            ), frame
        client.transition_model_version_stage(make.__name__, "1", "Production")
    return infos


def entity(server, endpoint):
    return server.get(f"/api/2.0/serving-endpoints/{endpoint}").json()["config"]["served_entities"][0]


def ready(server, endpoint):
    def serving():
        e = entity(server, endpoint)
        return e if e["state"]["deployment"] == "DEPLOYMENT_READY" else None

    return wait_until(serving, LOAD_SECONDS, f"{endpoint} ready")


def ask(server, endpoint, frame):
    body = {"dataframe_split": json.loads(frame.to_json(orient="split", index=False, double_precision=15))}
    answer = server.post(f"/endpoints/{endpoint}/invocations", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def same(got, want):
    want = np.asarray(want)
    assert np.shape(got) == want.shape
    if want.dtype.kind == "f":
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    else:
        assert got == want.tolist()


@pytest.mark.parametrize("name, backend, reason", [
    ("forest", "onnx", ""), ("proba", "onnx", ""), ("pipeline", "onnx", ""), ("text", "onnx", ""), ("lightgbm", "onnx", ""), ("xgboost", "onnx", ""), ("catboost", "onnx", ""),
    ("parity", "python", "the original"), ("custom", "python", "Logarithm"),
])  # fmt: skip
def test_answers_are_the_originals(served, client, logged, name, backend, reason):
    import mlflow.pyfunc

    info, frame = logged[name]
    state = ready(served, name)
    assert state["served_by"] == {"onnx": "onnx (converted)", "python": "python"}[backend], state
    tags = client.get_model_version(name, "1").tags
    assert tags["sluice.backend"] == backend and tags["sluice.conversion.verdict"] == ("pass" if backend == "onnx" else "fail")
    assert reason in tags.get("sluice.conversion.reason", "") and reason in state.get("served_note", "")
    if backend == "onnx":
        assert "absolute" in tags["sluice.conversion.tolerance"] and int(tags["sluice.conversion.rows"]) > 200
        assert "onnxruntime" in tags["sluice.conversion.versions"]
    original = mlflow.pyfunc.load_model(info.model_uri)
    same(ask(served, name, frame), original.predict(frame))
    same(ask(served, name, frame.head(1)), original.predict(frame.head(1)))


def test_what_the_original_refuses_is_refused(served, logged):
    ready(served, "proba")
    x, _ = wine()
    row = x.head(1).copy()
    row.iloc[0, 0] = np.nan
    body = {"dataframe_split": json.loads(row.to_json(orient="split", index=False))}
    answer = served.post("/endpoints/proba/invocations", json=body)
    assert answer.status_code == 400 and "NaN" in answer.json()["message"]
    ready(served, "pipeline")
    frame, _ = people()
    answer = served.post("/endpoints/pipeline/invocations", json={"dataframe_records": [{"age": 40, "income": 3e4, "city": "Atlantis"}]})
    assert answer.status_code == 400, answer.text


def test_an_endpoint_chooses_its_backend(served, client, logged):
    config = {"served_entities": [{"name": "a", "entity_name": "forest", "entity_version": "1", "backend": "python"}],
              "traffic_config": {"routes": [{"served_entity_name": "a", "traffic_percentage": 100}]}}  # fmt: skip
    assert served.post("/api/2.0/serving-endpoints", json={"name": "forced", "config": config}).status_code == 200
    state = ready(served, "forced")
    assert state["served_by"] == "python" and state["backend"] == "python"
    assert entity(served, "forest")["served_by"] == "onnx (converted)"  # beside it
    x, _ = wine()
    assert ask(served, "forced", x.head(20)) == ask(served, "forest", x.head(20))
    config["served_entities"][0]["backend"] = "java"
    answer = served.post("/api/2.0/serving-endpoints", json={"name": "strange", "config": config})
    assert answer.status_code == 400 and "backend" in answer.json()["message"]


def test_a_stage_that_accepts_onnx_only(served, client, logged):
    """What only Python could execute is not routed in such a stage; what converts is."""
    ready(served, "custom")
    for name in ("custom", "forest"):
        config = {"served_entities": [{"name": "a", "entity_name": name, "entity_stage": "Staging"}],
                  "traffic_config": {"routes": [{"served_entity_name": "a", "traffic_percentage": 100}]}}  # fmt: skip
        version = client.create_model_version(name, logged[name][0].model_uri, model_id=logged[name][0].model_id)
        client.transition_model_version_stage(name, version.version, "Staging")
        assert served.post("/api/2.0/serving-endpoints", json={"name": f"{name}-staging", "config": config}).status_code == 200

    def refused():
        e = entity(served, "custom-staging")
        return e if e["state"]["deployment"] == "DEPLOYMENT_FAILED" else None

    assert "only ONNX is accepted here" in wait_until(refused, LOAD_SECONDS, "a refusal")["reason"]
    assert ready(served, "forest-staging")["served_by"] == "onnx (converted)"
    assert entity(served, "custom")["served_by"] == "python"  # Production accepts all


def test_a_conversion_is_kept_over_a_restart(served, client, logged):
    ready(served, "forest")
    before = client.get_model_version("forest", "1").last_updated_timestamp
    served.stop()
    served.start()
    ready(served, "forest")
    with real_client() as point:
        assert point(served).get_model_version("forest", "1").last_updated_timestamp == before  # no tag was written again
    folders = list((served.data_dir / "converted").iterdir())
    assert folders and all((f / "conversion.json").exists() for f in folders)
