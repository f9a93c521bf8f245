"""What a rollout compares besides failures: a version that predicts something else takes itself back, and so does one that is wrong."""

import json
import threading

import requests
from conftest import Server, wait_until, wine_rows
from lifecycle import files, made_files
from test_rollout import events, phase, plan, rollout, stages, versions

BODY = json.dumps({"dataframe_split": wine_rows(1)}).encode()
QUICK = ("--serving-metrics-interval", "500ms")


def constant_files(label):
    """A model that answers with one label, whatever it is asked."""
    import numpy as np
    from onnx import TensorProto

    nodes = [
        ("Gather", ["input", "first"], "column", {"axis": 1}),
        ("Mul", ["column", "zero"], "none"),
        ("Add", ["none", "constant"], "number"),
        ("Cast", ["number"], "label", {"to": TensorProto.INT64}),
    ]
    constants = {"first": np.array([0], np.int64), "zero": np.array([0], np.float32), "constant": np.array([label], np.float32)}
    return made_files("constant", nodes, constants, ("label", "INT64", 1))


class Customer:
    """A client that asks the same without a pause, and where truth is given says for every answer what would have been right."""

    def __init__(self, server, truth=None):
        self.server, self.truth, self.outcomes, self.statuses, self.body = server, truth, set(), set(), BODY
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _ask(self):
        known = []
        with requests.Session() as session:
            while not self._stop.is_set():
                answer = session.post(self.server.url + "/endpoints/wine/invocations", data=self.body, headers={"Content-Type": "application/json"}, timeout=60)
                self.statuses.add(answer.status_code)
                if self.truth is None:
                    continue
                known.append({"prediction_id": answer.headers["X-Sluice-Prediction-Id"], "ground_truth": self.truth})
                if len(known) == 100:
                    told = session.post(self.server.url + "/api/2.0/serving-endpoints/wine/ground-truth", json={"items": known}, timeout=60)
                    self.outcomes |= {i["outcome"] for i in told.json()["items"]}
                    known = []


def taken_back(server, metric, truth=None):
    """A rollout of a version that answers 2 where the one before answers 0, judged by one metric alone."""
    one, two = versions(server, files("v2"), constant_files(2))
    plan(server)
    steps = [{"set_weight": 50}, {"analyse": {"min_requests": 1_000_000}}]
    started = server.post("/api/2.0/serving-endpoints/wine/rollout", json={"version": two, "steps": steps, "analysis": {"metrics": [metric]}})
    assert started.status_code == 200, started.text
    with Customer(server, truth) as customer:
        done = phase(server, "rolled_back", seconds=90)
    assert (done["verdict"], done["metrics"][0]["name"], done["canary"]["errors"]) == ("rollback", metric["name"], 0), done
    assert done["reason"].startswith(metric["name"]) and customer.statuses == {200}, (done, customer.statuses)
    assert stages(server) == {one: "Production", two: "None"}
    told = events(server)
    assert told.count("rollout_decided") == told.count("rollout_rolled_back") == 1, told
    return done, customer


def test_a_version_that_predicts_something_else_takes_itself_back(tmp_path):
    server = Server(tmp_path / "data", *QUICK).start()
    try:
        done, _ = taken_back(server, {"name": "drift"})
        assert done["metrics"][0]["canary"] > 0.4, done["metrics"]

        def run_of(version):
            found = server.api("GET", "experiments/get-by-name", {"experiment_name": "serving/wine"})["experiment"]
            query = {"experiment_ids": [found["experiment_id"]], "filter": f"tags.`sluice.rollout` = '{done['id']}'"}
            runs = server.api("POST", "runs/search", query).get("runs", [])
            return [{t["key"]: t["value"] for t in r["data"]["tags"]}["sluice.model_version"] for r in runs] == [version]

        wait_until(lambda: run_of(done["canary_version"]), what="the rollout's id at the serving run")
    finally:
        assert server.stop() == 0


def test_a_version_that_is_wrong_takes_itself_back(tmp_path):
    server = Server(tmp_path / "data", *QUICK).start()
    try:
        done, customer = taken_back(server, {"name": "accuracy"}, truth=0)
        metric = done["metrics"][0]
        assert metric["canary"] > 0.99 and metric["stable"] < 0.01 and metric["canary_sample"] > 0, metric
        assert customer.outcomes <= {"joined", "pending"}, customer.outcomes
    finally:
        assert server.stop() == 0


def test_a_version_whose_requests_leave_its_baseline_takes_itself_back(tmp_path):
    """It waits until its drift is known, goes on while that is small, and goes back when a column is sure to be far from the baseline."""
    server = Server(tmp_path / "data", *QUICK).start()
    try:
        one, two = versions(server, files("v2"), files("v1"))
        entity = {"name": "stable", "entity_name": "wine", "entity_stage": "Production"}
        drift = {"window": "1h", "min_rows": 50, "baseline_rows": 100, "baseline": "first_predictions"}
        metrics = {"analysis": {"metrics": [{"name": "baseline_drift", "max_ks": 0.3}]}}
        steps = {"steps": [{"set_weight": 50}, {"analyse": {"min_requests": 20}}, {"set_weight": 60}, {"pause": {}}]}
        url = server.url + "/api/2.0/serving-endpoints/wine/config"
        refused = requests.put(url, json={"served_entities": [entity], "drift": {"off": True}, "rollout": steps | metrics}, timeout=30)
        assert refused.status_code == 400 and "rollout.analysis.metrics[0].name" in refused.json()["message"], refused.text
        answer = requests.put(url, json={"served_entities": [entity], "drift": drift, "rollout": steps | metrics}, timeout=30)
        assert answer.json()["config"]["rollout"]["analysis"]["metrics"] == [{"name": "baseline_drift", "max_psi": 0.2, "max_ks": 0.3}], answer.text
        started = server.post("/api/2.0/serving-endpoints/wine/rollout", json={"version": two})
        assert started.status_code == 200, started.text
        with Customer(server) as customer:
            wait_until(lambda: (now := rollout(server))["verdict"] == "insufficient_traffic" and now["reason"].startswith("baseline_drift"), what="waiting")
            now = wait_until(lambda: (now := rollout(server))["step"] == 3 and now, 60, "the step after the analysis")
            assert now["metrics"][0]["verdict"] == "promote" and now["metrics"][0]["canary"] < 0.1, now["metrics"]
            rows = wine_rows(1)
            rows["data"][0][0] += 3
            customer.body = json.dumps({"dataframe_split": rows}).encode()
            done = phase(server, "rolled_back", seconds=60)
        metric = done["metrics"][0]
        assert metric["verdict"] == "rollback" and metric["evidence"] > 0.2 and done["reason"].startswith("baseline_drift: column alcohol"), done
        assert customer.statuses == {200} and stages(server) == {one: "Production", two: "None"}
    finally:
        assert server.stop() == 0
