"""Shadow arms: copies of real traffic, compared, logged and discarded; the caller notices nothing."""

import re

import pytest
import requests
from conftest import Server, wait_until
from lifecycle import BODY, JSON, add_version, busy_files, files, made_files, move
from test_prediction_log import segments

NAME = "grape"


@pytest.fixture
def served(tmp_path):
    """Endpoint `grape`: version 1 answers everything, version 2 stands in Staging."""
    server = Server(tmp_path / "data", "--serving-metrics-interval", "500ms").start()
    add_version(server, NAME, files("v1"))
    add_version(server, NAME, files("v2"))
    move(server, NAME, "1")
    move(server, NAME, "2", "Staging")
    yield server
    assert server.stop() == 0


def configure(server, share, expect=200, arm="next"):
    body = {
        "served_entities": [{"name": "main", "entity_name": NAME, "entity_stage": "Production"}, {"name": "next", "entity_name": NAME, "entity_stage": "Staging"}],
        "traffic_config": {"routes": [{"served_entity_name": "main", "traffic_percentage": 100}, {"served_entity_name": "next", "traffic_percentage": 0}]},
        "shadows": [{"served_entity_name": arm, "percentage": share}],
    }
    answer = requests.put(f"{server.url}/api/2.0/serving-endpoints/{NAME}/config", json=body, timeout=30)
    assert answer.status_code == expect, answer.text
    return answer.json()


def ask(server, request_id, **headers):
    answer = server.post(f"/endpoints/{NAME}/invocations", data=BODY, headers=JSON | {"X-Request-Id": request_id} | headers)
    assert answer.ok and answer.headers["X-Sluice-Arm"] == "main" and answer.headers["X-Sluice-Model-Version"] == "1", answer.text
    return answer


def metric(server, name, **labels):
    total = 0.0
    for line in server.get("/metrics").text.splitlines():
        if found := re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line):
            have = dict(re.findall(r'(\w+)="([^"]*)"', found.group(1) or ""))
            if all(have.get(k) == v for k, v in labels.items()):
                total += float(found.group(2))
    return total


def test_copies_are_compared_logged_and_discarded(served, mlflow_at):
    import mlflow

    mlflow_at(served)
    configured = configure(served, 100)
    assert configured["config"]["shadows"] == [{"served_entity_name": "next", "percentage": 100}]
    wait_until(lambda: served.get(f"/v2/models/{NAME}/versions/2/ready").ok, what="the shadow's version")
    wait_until(lambda: served.post(f"/endpoints/{NAME}/invocations", data=BODY, headers=JSON).headers.get("X-Sluice-Arm") == "main", what="the main arm")
    for headers, copied in (({}, {}), ({"X-Sluice-Sticky-Key": "me"}, {"copied": True})):  # without a key, chance decides
        explained = requests.post(f"{served.url}/api/2.0/serving-endpoints/{NAME}/explain", data=BODY, headers=JSON | headers, timeout=30).json()
        assert explained["shadows"] == [{"name": "next", "percentage": 100} | copied], explained

    for i in range(20):
        ask(served, f"req-{i}")
    of = {"endpoint": NAME, "arm": "next", "version": "2"}
    wait_until(lambda: metric(served, "sluice_shadow_requests_total", result="answered", **of) >= 20, what="20 copies")
    count = metric(served, "sluice_shadow_requests_total", result="answered", **of)
    assert metric(served, "sluice_shadow_distance_count", **of) == count and metric(served, "sluice_shadow_distance_sum", **of) > 0
    assert metric(served, "sluice_shadow_disagreement_count", **of) == count
    assert metric(served, "sluice_shadow_latency_delta_seconds_count", **of) == count
    assert metric(served, "sluice_requests_total", arm="next") == 0, "copies are no requests"

    wanted = {f"req-{i}" for i in range(20)}

    def logged():
        rows = []
        for run in mlflow.search_runs(experiment_names=[f"serving/{NAME}"], output_format="list"):
            if (frame := segments(mlflow, run.info.run_id)) is not None:
                rows += frame[frame["client_request_id"].isin(wanted)].to_dict("records")
        return rows if len(rows) >= 40 else None

    rows = wait_until(logged, 60, "both records of 20 requests")
    by_id = {}
    for row in rows:
        by_id.setdefault(row["client_request_id"], {})[bool(row["shadow"])] = row
    assert set(by_id) == wanted and all(set(pair) == {True, False} for pair in by_id.values())
    for pair in by_id.values():
        assert (pair[False]["arm"], int(pair[False]["model_version"])) == ("main", 1)
        assert (pair[True]["arm"], int(pair[True]["model_version"])) == ("next", 2)
        assert pair[True]["request"] == pair[False]["request"] and pair[True]["response"] != pair[False]["response"]
        assert pair[True]["databricks_request_id"] != pair[False]["databricks_request_id"]


def test_bad_shadows_change_nothing(served):
    for arm, share, path in (("nobody", 10, "shadows[0].served_entity_name"), ("main", 10, "shadow of itself"), ("next", 100.5, "shadows[0].percentage"), ("next", 0.125, "shadows[0].percentage")):
        refused = configure(served, share, expect=400, arm=arm)
        assert path in refused["message"], refused
    assert "shadows" not in served.get(f"/api/2.0/serving-endpoints/{NAME}").json()["config"]


def test_a_shadow_that_is_far_too_slow(served):
    """Its queue fills and drops are counted; every caller is answered, and the server leaves in time."""
    add_version(served, NAME, busy_files(40_000_000))  # some 80 ms of processor time for each row
    move(served, NAME, "3", "Staging")
    configure(served, 100)
    wait_until(lambda: served.get(f"/v2/models/{NAME}/versions/3/ready").ok, 60, what="the slow version")
    asked = 0

    def dropped():
        nonlocal asked
        for _ in range(40):
            asked += 1
            ask(served, f"slow-{asked}")
        return metric(served, "sluice_shadow_drops_total", endpoint=NAME, arm="next") > 0

    wait_until(dropped, 60, "a copy was dropped")
    assert metric(served, "sluice_requests_total", endpoint=NAME, arm="main", code="200") >= asked
    assert served.get("/ready").status_code == 200


def huge_files(megabytes=100):
    """A model whose answer to any number of rows is so large."""
    import numpy as np

    nodes = [("ReduceMin", ["input"], "least", {"axes": [1], "keepdims": 1}), ("Expand", ["least", "shape"], "score")]
    return made_files("huge", nodes, {"shape": np.array([1, megabytes << 18], np.int64)}, ("score", "FLOAT", None))


def resident(server):
    """Bytes of memory that the server holds at the most so far."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))


def test_a_shadow_whose_answers_are_huge(served):
    """R37: 100 MiB for each request. Every caller is answered; these answers are dropped, and memory stays within a few of them."""
    add_version(served, NAME, huge_files())
    move(served, NAME, "3", "Staging")
    configure(served, 100)
    wait_until(lambda: served.get(f"/v2/models/{NAME}/versions/3/ready").ok, 60, "the version with the huge answers")
    before = resident(served)
    for i in range(40):
        ask(served, f"huge-{i}")
    drops = lambda: metric(served, "sluice_shadow_drops_total", endpoint=NAME, arm="next")
    wait_until(lambda: drops() >= 40, 60, "an end to every copy")
    assert metric(served, "sluice_shadow_drops_total", endpoint=NAME, arm="next", reason="too_large") > 0
    assert metric(served, "sluice_shadow_requests_total", endpoint=NAME, arm="next", version="3") == 0
    assert resident(served) - before < 1 << 30
    ask(served, "after")
