"""Ground truth through the real server: joined with what was predicted, counted, shown."""

import time
import uuid

import requests
from conftest import register_wine, split_body, wait_until, wine_rows

PATH = "/api/2.0/serving-endpoints/wine/ground-truth"


def id_of(days_ago):
    """A prediction id (UUIDv7) of that age, which no prediction has."""
    return str(uuid.UUID(int=int((time.time() - days_ago * 86400) * 1000) << 80 | 7 << 76 | 2 << 62))


def send(server, *items):
    answer = server.post(PATH, json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    return [i["outcome"] for i in answer.json()["items"]]


def test_ground_truth_is_joined(server, mlflow_at):
    import mlflow

    client = mlflow_at(server)
    register_wine(mlflow, "wine", "v2")
    client.transition_model_version_stage("wine", "1", "Production")
    wait_until(lambda: server.post("/invocations", json=split_body()).ok, what="wine answers")
    assert send(server, {"client_request_id": "early", "ground_truth": 0}) == ["pending"]
    ids = []
    for i in range(20):
        answer = server.post("/invocations", json=split_body(), headers={"X-Request-Id": "early" if i == 0 else f"req-{i % 19}"})
        assert answer.json()["predictions"][0]["label"] == 0
        ids.append(answer.headers["X-Sluice-Prediction-Id"])
    wait_until(lambda: send(server, {"prediction_id": ids[-1], "ground_truth": 1}) in (["joined"], ["duplicate"]), seconds=60, what="the log is delivered")
    assert send(server, *({"prediction_id": i, "ground_truth": 0} for i in ids[1:10])) == ["joined"] * 9
    assert send(
        server,
        {"prediction_id": ids[1], "ground_truth": 0},
        {"prediction_id": ids[2], "ground_truth": 2},
        {"client_request_id": "req-10", "ground_truth": 0},
        {"client_request_id": "req-0", "ground_truth": 0},
        {"prediction_id": id_of(2), "ground_truth": 0},
        {"prediction_id": id_of(46), "ground_truth": 0},
        {"prediction_id": str(uuid.uuid4()), "ground_truth": 0},
        {"key": 1, "ground_truth": 0},
    ) == ["duplicate", "conflicting", "joined", "conflicting", "unknown", "too_late", "invalid", "invalid"]
    alone = server.post(PATH, json={"prediction_id": ids[2], "ground_truth": 2})
    assert alone.status_code == 409 and alone.json()["outcome"] == "conflicting", alone.text

    def quality():
        (version,) = server.get("/api/2.0/serving-endpoints/wine/quality").json()["versions"] or [None]
        return version and version["total"]["labels"] >= 12 and version

    version = wait_until(quality, seconds=60, what="12 labels")
    assert (version["model_name"], version["model_version"], version["window"]["labels"]) == ("wine", "1", 12)
    assert abs(version["total"]["accuracy"] - 11 / 12) < 1e-9
    assert 'sluice_quality_accuracy{endpoint="wine",model="wine",version="1"} 0.91' in server.get("/metrics").text


def test_a_version_is_compared_with_what_it_was_trained_on(server, mlflow_at, tmp_path):
    """The baseline is there before the first request: the training dataset of the run, then a table that the endpoint names."""
    import mlflow
    import pandas as pd

    client = mlflow_at(server)
    frame = pd.DataFrame(wine_rows(178)["data"], columns=wine_rows(1)["columns"])
    info = register_wine(mlflow, "wine", "v2")
    with mlflow.start_run(run_id=info.run_id) as run:
        frame.assign(cultivar=0).to_parquet(tmp_path / "train.parquet")
        mlflow.log_artifact(str(tmp_path / "train.parquet"))
        uri = run.info.artifact_uri + "/train.parquet"
        mlflow.log_input(mlflow.data.from_pandas(frame, source=str(tmp_path / "train.parquet"), name="cellar"), context="training")
        mlflow.log_table(pd.concat([frame.assign(alcohol=frame["alcohol"] + 3)] * 2), "mine.json")
    config = {"served_entities": [{"name": "stable", "entity_name": "wine", "entity_version": "1"}], "drift": {"window": "1s", "min_rows": 100}}
    created = server.post("/api/2.0/serving-endpoints", json={"name": "cellar", "config": config})
    assert created.ok, created.text

    def compared(source, want=lambda v: True):
        def look():
            all = server.get("/api/2.0/serving-endpoints/cellar/drift").json()["versions"]
            return all and all[0].get("baseline_source") == source and want(all[0]) and all[0]

        return wait_until(look, seconds=90, what=f"a baseline of the {source}")

    given = compared("training_dataset")
    assert (given["baseline_rows"], given["baseline_complete"], given["baseline_from"], given["window_rows"]) == (178, True, uri, 0), given

    def tagged():
        runs = mlflow.search_runs(experiment_names=["serving/cellar"], filter_string="tags.`sluice.drift.baseline` LIKE 'training_dataset %' AND metrics.drift_baseline_rows = 178")
        return len(runs) == 1

    wait_until(tagged, seconds=60, what="the serving run's tag")
    wait_until(lambda: server.post("/endpoints/cellar/invocations", json={"dataframe_split": frame.to_dict("split", index=False)}).ok, what="an answer")
    alike = compared("training_dataset", lambda v: v["window_rows"] >= 178)
    assert not alike.get("drifting") and {c["name"] for c in alike["columns"]} == {*frame.columns, "prediction"}, alike.get("drifting")

    config["drift"]["baseline"] = "mine.json"
    assert requests.put(f"{server.url}/api/2.0/serving-endpoints/cellar/config", json=config, timeout=60).ok
    wait_until(lambda: server.get("/api/2.0/serving-endpoints/cellar").json()["state"]["config_update"] == "NOT_UPDATING", what="the new configuration")
    assert server.post("/endpoints/cellar/invocations", json={"dataframe_split": frame.to_dict("split", index=False)}).ok
    moved = compared("table", lambda v: v["window_rows"] >= 178)
    assert "alcohol" in moved["drifting"] and moved["baseline_rows"] == 356 and "malic_acid" not in moved["drifting"], moved["drifting"]
    kinds = [e["kind"] for e in server.get("/api/2.0/serving-endpoints/cellar/events").json()["events"]]
    assert kinds.count("drift_baseline") == 2 and "drift_baseline_failed" not in kinds, kinds
    assert 'sluice_drift_baseline_rows{endpoint="cellar",model="wine",source="table",version="1"} 356' in server.get("/metrics").text
