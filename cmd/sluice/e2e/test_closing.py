"""The whole way: train, serve, log 100,000 predictions of which the second half has one feature shifted, send ground truth, and find drift, accuracy and
rows through the MLflow client and through pandas."""

import concurrent.futures
import json

import numpy as np
import pandas as pd
from conftest import wait_until
from sklearn.linear_model import LogisticRegression

ROWS, REQUESTS, SHIFT = 100, 1000, 2.0
COLUMNS = ["age", "income", "visits"]
ENDPOINT = "/api/2.0/serving-endpoints/churn"


def outcome(x, random):
    """Who leaves; visits have nothing to do with it."""
    return (x[..., 0] + 0.5 * x[..., 1] + random.normal(scale=0.5, size=x.shape[:-1]) > 0).astype(int)


def train(mlflow):
    """Logs a model of three features with the real client and registers it; returns the run's id."""
    import mlflow.onnx
    from mlflow.models import infer_signature
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    random = np.random.default_rng(7)
    x = random.normal(size=(2000, 3))
    model = LogisticRegression().fit(x, outcome(x, random))
    converted = to_onnx(model, initial_types=[("input", FloatTensorType([None, 3]))], options={"zipmap": False})
    frame = pd.DataFrame(x, columns=COLUMNS)
    mlflow.set_experiment("churn")
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, name="customers"), context="training")
        signature = infer_signature(frame, pd.DataFrame({"label": np.array([0], dtype=np.int64)}))
        mlflow.onnx.log_model(converted, name="model", registered_model_name="churn", signature=signature, pip_requirements=["onnxruntime"])
    return run.info.run_id


def traffic(half):
    """The features of one half's requests, and what came of it; in the second half everybody visits more often."""
    random = np.random.default_rng(half)
    x = random.normal(size=(REQUESTS // 2, ROWS, 3))
    came = outcome(x, random)
    x[..., 2] += SHIFT * half
    return x.round(3), came


def predict(server, x):
    """The prediction ids and labels of all requests, four at a time."""

    def one(rows):
        body = {"dataframe_split": {"columns": COLUMNS, "data": rows.tolist()}}
        answer = server.post("/serving-endpoints/churn/invocations", json=body)
        assert answer.ok, answer.text
        return answer.headers["X-Sluice-Prediction-Id"], [row["label"] for row in answer.json()["predictions"]]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, x))


def tell(server, ids, came):
    """Sends what came of each request; returns the outcomes."""
    found = {}
    for start in range(0, len(ids), 50):
        items = [{"prediction_id": i, "ground_truth": c.tolist()} for i, c in zip(ids[start : start + 50], came[start : start + 50])]
        answer = server.post(f"{ENDPOINT}/ground-truth", json={"items": items})
        assert answer.ok, answer.text
        for name, n in answer.json()["outcomes"].items():
            found[name] = found.get(name, 0) + n
    return found


def learned(server):
    """Whether the baseline is there: before, nothing may shift."""
    return any(v["baseline_complete"] for v in server.get(f"{ENDPOINT}/drift").json()["versions"])


def test_shift_accuracy_and_rows_are_found(server, mlflow_at):
    import mlflow

    client = mlflow_at(server)
    training = train(mlflow)
    client.transition_model_version_stage("churn", "1", "Production")
    config = {
        "served_entities": [{"name": "churn", "entity_name": "churn", "entity_stage": "Production"}],
        "drift": {"window": "1s", "min_rows": 1000},
        "ground_truth": {"output": "label"},
    }
    made = server.post("/api/2.0/serving-endpoints", json={"name": "churn", "config": config})
    assert made.ok, made.text
    warm, _ = traffic(0)
    wait_until(lambda: server.post("/serving-endpoints/churn/invocations", json={"dataframe_split": {"columns": COLUMNS, "data": warm[0].tolist()}}).ok, what="churn answers")

    predicted, truths = [], []
    for half in (0, 1):
        x, came = traffic(half)
        predicted += predict(server, x)
        truths += list(came)
        wait_until(lambda: learned(server), seconds=60, what="a baseline of the first half")
    right = np.mean([label == actual for (_, labels), came in zip(predicted, truths) for label, actual in zip(labels, came)])
    outcomes = tell(server, [i for i, _ in predicted], truths)
    assert set(outcomes) <= {"joined", "pending"} and sum(outcomes.values()) == REQUESTS, outcomes

    # through the MLflow client: the serving run, found from the training run, has the drift and the accuracy as metrics over time
    def measured():
        runs = mlflow.search_runs(search_all_experiments=True, filter_string=f"tags.`sluice.training_run_id` = '{training}' AND metrics.drift_psi_max > 0.2")
        found = len(runs) == 1 and "metrics.labels_total" in runs and runs["metrics.labels_total"][0] == ROWS * REQUESTS
        return [runs.iloc[0]] if found else None

    (run,) = wait_until(measured, seconds=90, what="drift and accuracy in the serving run")
    assert abs(run["metrics.accuracy"] - right) < 1e-9 and 0.7 < right < 0.95
    assert run["metrics.drift_psi/visits"] > 1 and run["metrics.drift_ks/visits"] > 0.5
    assert max(run["metrics.drift_psi/age"], run["metrics.drift_psi/income"], run["metrics.drift_psi/prediction"]) < 0.1
    history = client.get_metric_history(run["run_id"], "drift_psi/visits")
    assert all(abs(m.step - m.timestamp / 1000) < 120 for m in history)

    # through the API: which column, since when, and how it looks now
    (version,) = server.get(f"{ENDPOINT}/drift").json()["versions"]
    assert version["drifting"] == ["visits"] and version["baseline_rows"] >= 5000
    visits = next(c for c in version["columns"] if c["name"] == "visits")
    assert abs(visits["baseline"]["mean"]) < 0.1 and abs(visits["window"]["mean"] - SHIFT) < 0.1
    kinds = [e["kind"] for e in server.get(f"{ENDPOINT}/events").json()["events"]]
    assert kinds.count("drift_detected") == 1 and "drift_ended" not in kinds
    (quality,) = server.get(f"{ENDPOINT}/quality").json()["versions"]
    assert quality["total"]["labels"] == ROWS * REQUESTS and {c["class"] for c in quality["total"]["classes"]} == {"0", "1"}
    shown = server.get("/metrics").text
    assert 'sluice_drift_columns{endpoint="churn",model="churn",version="1"} 1' in shown and "sluice_quality_accuracy{" in shown

    # through pandas: the documented line loads a version's predictions as a data frame
    frame = pd.read_parquet(mlflow.artifacts.download_artifacts(run_id=run["run_id"], artifact_path="predictions"))
    frame = frame[frame["databricks_request_id"].isin([i for i, _ in predicted])].set_index("databricks_request_id")
    assert len(frame) == REQUESTS and frame["rows"].sum() == ROWS * REQUESTS
    for prediction_id, labels in predicted[:: REQUESTS // 10]:
        logged = json.loads(frame.loc[prediction_id, "response"])["predictions"]
        assert [row["label"] for row in logged] == labels

    # and through mlflow.data: the dataset input of the serving run is the same rows
    (dataset,) = client.get_run(run["run_id"]).inputs.dataset_inputs
    assert dataset.dataset.name == "predictions" and dataset.tags[0].value == "serving"
    assert set(frame.index) <= set(pd.read_parquet(mlflow.data.get_source(dataset).load())["databricks_request_id"])
