"""kill -9 at any moment: what was acknowledged is there after the restart; of the prediction log at most the unsynced tail is missing."""

import random
import threading
import time

import requests
from conftest import wait_until
from lifecycle import BODY, JSON, add_version, endpoint, files, move, serves
from predictions import logged_ids

ROUNDS = 10
TAIL_SECONDS = 1.5  # fsync is due after 0.2 s; the rest is for a machine that has other things to do


class Writers:
    """Threads that write until the server dies, and note what it acknowledged and what it was asked last."""

    def __init__(self, server, round_number):
        self.server, self.round = server, round_number
        self.runs = {}  # run id → acknowledged metric steps
        self.artifacts = {}  # run id → content
        self.stage = self.stage_asked = None
        self.split = self.split_asked = None
        self.predicted = []  # (prediction id, when it was answered)
        self.unexpected = []
        self.killed = threading.Event()
        self.threads = [threading.Thread(target=self._until_dead, args=(f,)) for f in (self._track, self._move, self._split, self._predict)]

    def _until_dead(self, step):
        with requests.Session() as session:
            i = 0
            while not self.killed.is_set():
                try:
                    step(session, i)
                except requests.RequestException as error:
                    if not self.killed.wait(5):
                        self.unexpected.append(error)
                    return
                except AssertionError as error:
                    self.unexpected.append(error)
                    return
                i += 1

    def _call(self, session, method, path, body):
        answer = session.request(method, f"{self.server.url}/api/2.0/{path}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _track(self, session, i):
        run = self._call(session, "POST", "mlflow/runs/create", {"experiment_id": "0", "run_name": f"{self.round}-{i}"})["run"]["info"]["run_id"]
        self.runs[run] = []
        for step in range(3):
            metric = {"key": "m", "value": step, "timestamp": 1000 + step, "step": step}
            self._call(session, "POST", "mlflow/runs/log-batch", {"run_id": run, "metrics": [metric]})
            self.runs[run].append(step)
        content = f"{self.round}-{i}" * 100
        url = f"{self.server.url}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/note.txt"
        assert session.put(url, data=content, timeout=30).status_code == 200
        self.artifacts[run] = content

    def _move(self, session, i):
        version = str(1 + i % 2)
        self.stage_asked = version
        body = {"name": "wine", "version": version, "stage": "Production", "archive_existing_versions": True}
        self._call(session, "POST", "mlflow/model-versions/transition-stage", body)
        self.stage = version

    def _split(self, session, i):
        percent = i % 100
        self.split_asked = percent
        entities = [{"name": "stable", "entity_name": "wine", "entity_stage": "Production"}, {"name": "canary", "entity_name": "wine", "entity_version": "3"}]
        routes = [{"served_entity_name": "stable", "traffic_percentage": 100 - percent}, {"served_entity_name": "canary", "traffic_percentage": percent}]
        self._call(session, "PUT", "serving-endpoints/split/config", {"served_entities": entities, "traffic_config": {"routes": routes}})
        self.split = percent

    def _predict(self, session, _):
        answer = session.post(self.server.url + "/endpoints/split/invocations", data=BODY, headers=JSON, timeout=30)
        assert answer.status_code == 200, answer.text
        self.predicted.append((answer.headers["X-Sluice-Prediction-Id"], time.monotonic()))

    def run_and_kill(self, seconds):
        for t in self.threads:
            t.start()
        time.sleep(seconds)
        self.killed.set()
        self.dead = time.monotonic()
        self.server.kill()
        for t in self.threads:
            t.join()
        assert not self.unexpected, self.unexpected


def check_tracking(server, w):
    for run, steps in w.runs.items():
        kept = server.api("GET", "metrics/get-history", {"run_id": run, "metric_key": "m"}).get("metrics", [])
        assert set(steps) <= {int(m["step"]) for m in kept}, (run, steps, kept)
    for run, content in w.artifacts.items():
        assert server.get(f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/note.txt").text == content


def check_registry(server, w):
    found = server.api("GET", "model-versions/search", {"filter": "name = 'wine'"})["model_versions"]
    production = {v["version"] for v in found if v["current_stage"] == "Production"}
    assert len(found) == 3 and len(production) == 1
    assert production <= {w.stage, w.stage_asked}, (production, w.stage, w.stage_asked)
    routes = {r["served_model_name"]: r["traffic_percentage"] for r in endpoint(server, "split")["config"]["traffic_config"]["routes"]}
    assert routes["canary"] in (w.split, w.split_asked) and sum(routes.values()) == 100, (routes, w.split, w.split_asked)


def test_kill_at_random_moments(server):
    for directory in ("v1", "v2", "v1"):
        add_version(server, "wine", files(directory))
    move(server, "wine", "1")
    serves(server, "1")
    entity = {"name": "stable", "entity_name": "wine", "entity_stage": "Production"}
    created = server.post("/api/2.0/serving-endpoints", json={"name": "split", "config": {"served_entities": [entity]}})
    assert created.status_code == 200, created.text
    seed = random.randrange(1 << 30)
    moments = random.Random(seed)
    rounds = []
    for i in range(ROUNDS):
        serves_all(server)
        w = Writers(server, i)
        w.run_and_kill(moments.uniform(0.05, 1.2))
        rounds.append(w)
        server.start().ready()
        print(f"seed {seed} round {i}: {len(w.runs)} runs, {len(w.predicted)} predictions, split {w.split}, stage {w.stage}")
        check_tracking(server, w)
        if w.stage and w.split is not None:
            check_registry(server, w)
    for w in rounds:  # and still
        check_tracking(server, w)
    assert server.stop() == 0, server.out[-5:]
    logged = logged_ids(server)
    assert len(logged) == len(set(logged)), "a prediction is in the log twice"
    logged = set(logged)
    for w in rounds:
        missing = [at for id_, at in w.predicted if id_ not in logged]
        assert all(at > w.dead - TAIL_SECONDS for at in missing), [w.dead - at for at in missing][:10]
    answered = sum(len(w.predicted) for w in rounds)
    assert len(logged) >= 0.1 * answered, (len(logged), answered)


def serves_all(server):
    def ask():
        return server.post("/endpoints/split/invocations", data=BODY, headers=JSON).ok

    wait_until(ask, what="endpoint split answers")
