"""Ground truth through the real server: joined with what was predicted, counted, shown."""

import time
import uuid

from conftest import register_wine, split_body, wait_until

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
