"""Rollouts in a real process with real models: a good version promotes itself, a bad one takes itself back, and a kill changes neither."""

import collections
import json
import subprocess
import threading
import time

import requests
from conftest import BINARY, Server, wait_until, wine_rows
from lifecycle import add_version, busy_files, endpoint, files, made_files, move, serves, version_of
from test_webhooks import LOCAL, Receiver

PLAN = {
    "steps": [
        {"set_weight": 20}, {"analyse": {"min_requests": 100}},
        {"set_weight": 50}, {"pause": {"duration": "300ms"}}, {"analyse": {"min_requests": 100}},
    ],
    "analysis": {"metrics": [{"name": "error_rate"}]},
    "bake_time": "1s",
    "keep_warm": "1m",
}  # fmt: skip


def picky_files():
    """A model that fails for rows whose first number is above 14: it looks a table up behind its end."""
    import numpy as np
    from onnx import TensorProto

    nodes = [
        ("Gather", ["input", "first"], "alcohol", {"axis": 1}),
        ("Greater", ["alcohol", "limit"], "strong"),
        ("Cast", ["strong"], "row", {"to": TensorProto.INT64}),
        ("Gather", ["table", "row"], "score", {"axis": 0}),
    ]
    return made_files("picky", nodes, {"first": np.array([0], np.int64), "limit": np.array([14], np.float32), "table": np.array([1], np.float32)})


def body(alcohol):
    rows = wine_rows(1)
    rows["data"][0][0] = alcohol
    return json.dumps({"dataframe_split": rows}).encode()


class Callers:
    """Clients that ask, every twentieth time with a row that a picky model fails for, and count (version, status).

    last has each version's last request (time.time() before it was sent), stalled how long this machine let nobody work, at the longest, in seconds.
    """

    def __init__(self, server, clients=2):
        self.url = server.url + "/endpoints/wine/invocations"
        self.seen, self.last, self.stalled = collections.Counter(), {}, 0
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(clients)] + [threading.Thread(target=self._watch)]

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for t in self._threads:
            t.join()

    def _watch(self):
        while not self._stop.is_set():
            began = time.monotonic()
            time.sleep(0.01)
            self.stalled = max(self.stalled, time.monotonic() - began - 0.01)

    def check_last(self, version, decided):
        """No request that was sent later than 250 ms after the decision (time.time()) met the version, but for what the machine stood still."""
        late = self.last[version] - decided
        assert late < 0.25 + self.stalled, f"{late:.3f} s after the decision; the machine stood still for {self.stalled:.3f} s"

    def _ask(self, n):
        good, strong = body(13), body(14.5)
        with requests.Session() as session:
            session.headers["Content-Type"] = "application/json"
            while not self._stop.is_set():
                n += 1
                sent = time.time()
                try:
                    answer = session.post(self.url, data=good if n % 20 else strong, timeout=60)
                except requests.ConnectionError:
                    time.sleep(0.05)  # killed
                    continue
                version = answer.headers.get("X-Sluice-Model-Version")
                with self._lock:
                    self.seen[version, answer.status_code] += 1
                    self.last[version] = sent

    def count(self, version):
        with self._lock:
            return sum(n for (v, _), n in self.seen.items() if v == version)


def versions(server, *packages):
    made = [add_version(server, "wine", p) for p in packages]
    move(server, "wine", made[0])
    serves(server, made[0])
    return made


def plan(server, plan=PLAN):
    entity = {"name": "stable", "entity_name": "wine", "entity_stage": "Production"}
    answer = requests.put(
        server.url + "/api/2.0/serving-endpoints/wine/config", json={"served_entities": [entity], "rollout": plan}, timeout=30
    )
    assert answer.status_code == 200, answer.text


def rollout(server):
    answer = server.get("/api/2.0/serving-endpoints/wine/rollout")
    return answer.json() if answer.ok else {"phase": None, "text": answer.text}


def phase(server, *wanted, seconds=60):
    def reached():
        now = rollout(server)
        assert now["phase"] in wanted, now
        return now

    return wait_until(reached, seconds, f"a rollout that is {wanted}")


def stages(server):
    found = server.api("GET", "model-versions/search", {"filter": "name = 'wine'"})["model_versions"]
    return {v["version"]: v["current_stage"] for v in found}


def tag(server, version):
    got = server.api("GET", "model-versions/get", {"name": "wine", "version": version})["model_version"]
    return {t["key"]: t["value"] for t in got.get("tags", [])}.get("sluice.rollout", "")


def events(server):
    return [e["kind"] for e in reversed(server.get("/api/2.0/serving-endpoints/wine/events").json()["events"])]


def decided(server):
    """When the server decided to take the canary back, as time.time()."""
    told = server.get("/api/2.0/serving-endpoints/wine/events").json()["events"]
    return next(e["timestamp"] for e in told if e["kind"] == "rollout_decided") / 1000


def test_a_good_version_promotes_itself(server):
    one, two = versions(server, files("v1"), files("v2"))
    plan(server)
    with Callers(server) as callers:
        move(server, "wine", two)
        done = phase(server, "promoted")
    assert (done["stable_version"], done["canary_version"], done["origin"]) == (one, two, "transition")
    assert done["canary"]["requests"] >= 200 and done["verdict"] == "promote", done
    assert {status for _, status in callers.seen} == {200}, callers.seen
    assert stages(server) == {one: "Archived", two: "Production"}
    serves(server, two)
    told = events(server)
    assert told.count("rollout_started") == told.count("rollout_promoted") == 1 and "rollout_rolled_back" not in told, told
    assert tag(server, two).startswith("promoted: endpoint wine")
    metrics = server.get("/metrics").text
    assert 'sluice_rollout_verdicts_total{endpoint="wine"' in metrics, metrics[:500]


def test_a_bad_version_takes_itself_back(tmp_path):
    receiver = Receiver()
    server = Server(tmp_path / "data", *LOCAL).start()
    try:
        hook = {"name": "ci", "url": receiver.url, "events": [{"entity": "MODEL_VERSION_TAG", "action": "SET"}]}
        answer = server.post("/api/2.0/mlflow/webhooks", json=hook)
        assert answer.status_code == 200, answer.text
        one, two = versions(server, files("v2"), picky_files())
        plan(server)
        with Callers(server) as callers:
            move(server, "wine", two)
            done = phase(server, "rolled_back")
            before = callers.count(one)
            wait_until(lambda: callers.count(one) > before + 50, what="traffic on the version before")
        assert done["verdict"] == "rollback" and "error_rate" in done["reason"], done
        assert done["metrics"][0]["evidence"] >= done["metrics"][0]["threshold"], done["metrics"]
        assert stages(server) == {one: "Production", two: "Archived"}
        failed = {key: n for key, n in callers.seen.items() if key[1] != 200}
        assert {v for v, _ in failed} == {two}, failed
        callers.check_last(two, decided(server))
        told = events(server)
        assert told.count("rollout_decided") == told.count("rollout_rolled_back") == 1 and "rollout_promoted" not in told, told

        def told_of_it():
            return [m["data"] for m in receiver.messages() if m["data"]["key"] == "sluice.rollout"]

        heard = wait_until(told_of_it, what="the webhook")
        assert [(m["name"], m["version"]) for m in heard] == [("wine", two)], heard
        assert heard[0]["value"].startswith("rolled_back: endpoint wine"), heard
    finally:
        server.stop()
        receiver.server.shutdown()
        receiver.server.server_close()


def test_a_slow_version_takes_itself_back(server):
    """It answers everything, and correctly, at some twenty times the latency."""
    one, two = versions(server, files("v2"), busy_files())
    slow = {"steps": [{"set_weight": 30}, {"analyse": {"min_requests": 5000}}], "analysis": {"metrics": [{"name": "latency_ratio"}]}}
    plan(server, slow)
    with Callers(server) as callers:
        move(server, "wine", two)
        done = phase(server, "rolled_back")
        before = callers.count(one)
        wait_until(lambda: callers.count(one) > before + 50, what="traffic on the version before")
    assert done["verdict"] == "rollback" and done["reason"].startswith("latency_ratio"), done
    assert done["canary"]["requests"] < 2000, done["canary"]
    assert {status for _, status in callers.seen} == {200}, callers.seen
    assert callers.count(two) > 0 and stages(server) == {one: "Production", two: "Archived"}
    callers.check_last(two, decided(server))


def test_a_bad_version_is_found_out_as_a_shadow(server):
    """A plan that begins with a shadow takes a version back that no caller ever met."""
    one, two = versions(server, files("v2"), picky_files())
    first = {"steps": [{"shadow": {"percentage": 80, "duration": "1s"}}, {"analyse": {"min_requests": 5000}}, {"set_weight": 50}, {"pause": {}}]}
    plan(server, first | {"analysis": {"metrics": [{"name": "error_rate"}]}})
    with Callers(server) as callers:
        move(server, "wine", two)
        wait_until(lambda: rollout(server).get("shadow_percentage") == 80, what="the shadow")
        done = phase(server, "rolled_back")
        before = callers.count(one)
        wait_until(lambda: callers.count(one) > before + 50, what="traffic on the version before")
    assert done["verdict"] == "rollback" and done["canary"]["errors"] > 0 and done["canary_percentage"] == 0, done
    assert set(callers.seen) == {(one, 200)}, callers.seen
    assert stages(server) == {one: "Production", two: "Archived"}


def test_without_traffic_nothing_is_promoted(server):
    one, two = versions(server, files("v1"), files("v2"))
    plan(server)
    move(server, "wine", two)
    wait_until(lambda: rollout(server).get("verdict") == "insufficient_traffic", what="the verdict")
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        now = rollout(server)
        assert (now["phase"], now["step"], now["verdict"]) == ("running", 1, "insufficient_traffic"), now
        time.sleep(0.1)
    weights = {a["name"]: a["traffic_percentage_in_effect"] for a in endpoint(server, "wine")["config"]["served_entities"]}
    assert weights == {"stable": 80}, weights
    assert stages(server)[two] == "Production", "the transition stands; the traffic does not follow yet"

    change = requests.put(server.url + "/api/2.0/serving-endpoints/wine/config", json={"sticky": {"header": "X-User"}}, timeout=30)
    assert (change.status_code, change.json()["error_code"]) == (409, "RESOURCE_CONFLICT"), change.text
    for _ in range(2):
        aborted = server.post("/api/2.0/serving-endpoints/wine/rollout/abort")
        assert aborted.status_code == 200, aborted.text
    phase(server, "aborted")
    assert stages(server) == {one: "Production", two: "Archived"} and version_of(server) == one
    late = server.post("/api/2.0/serving-endpoints/wine/rollout/promote")
    assert late.status_code == 409 and late.json()["phase"] == "aborted", late.text


def test_a_kill_in_the_middle_goes_on_where_it_was(server):
    one, two = versions(server, files("v1"), files("v2"))
    approval = {"steps": [{"set_weight": 10}, {"pause": {}}, {"set_weight": 60}, {"pause": {}}]}
    started = server.post("/api/2.0/serving-endpoints/wine/rollout", json={"version": two, **approval})
    assert started.status_code == 200, started.text
    for step, weight in ((1, 10), (3, 60)):
        wait_until(lambda step=step: rollout(server)["step"] == step, what=f"step {step}")
        server.kill()
        server.start().ready()
        now = wait_until(lambda step=step: rollout(server)["step"] == step and rollout(server), what="the step after the restart")
        assert (now["phase"], now["canary_percentage"], now["stable_version"], now["canary_version"]) == ("running", weight, one, two), now
        split = {e["name"]: e["traffic_percentage_in_effect"] for e in endpoint(server, "wine")["config"]["served_entities"]}
        assert set(split.values()) == {100 - weight}, split
        on = server.post("/api/2.0/serving-endpoints/wine/rollout/promote", json={"step": step})
        assert on.status_code == 200, on.text
        server.kill()  # between the order and what follows from it
        server.start()
    phase(server, "promoted")
    assert stages(server) == {one: "Archived", two: "Production"}
    server.kill()
    server.start().ready()
    serves(server, two)
    told = events(server)
    assert told.count("rollout_started") == told.count("rollout_promoted") == 1, told


def command(server, *args):
    done = subprocess.run([str(BINARY), "rollout", *args, "--url", server.url], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_the_command_starts_approves_and_aborts(server, tmp_path):
    one, two = versions(server, files("v1"), files("v2"))
    plan_file = tmp_path / "plan.json"
    plan_file.write_text(json.dumps({"steps": [{"set_weight": 50}, {"pause": {}}, {"set_weight": 90}, {"pause": {}}]}))
    code, text = command(server, "start", "wine", two)
    assert code == 1 and "has no plan for rollouts" in text, text
    code, text = command(server, "start", "wine", two, "--plan", str(plan_file))
    assert code == 0 and f"version {two} after version {one}, running" in text, text
    wait_until(lambda: "pause until approved" in command(server, "status", "wine")[1], what="the pause")
    code, text = command(server, "promote", "wine")
    assert code == 0, text
    wait_until(lambda: "90 % of the traffic" in command(server, "status", "wine")[1], what="the second weight")

    with Callers(server, clients=2) as callers:
        wait_until(lambda: callers.count(two) > 20, what="traffic on the canary")
        code, text = command(server, "abort", "wine")
        aborted = time.time()
        assert code == 0 and "rolling_back" in text, text
        before = callers.count(one)
        wait_until(lambda: callers.count(one) > before + 50, what="traffic on the version before")
    callers.check_last(two, aborted)
    phase(server, "aborted")
    code, text = command(server, "list", "wine")
    assert code == 0 and "aborted" in text and len(text.splitlines()) == 2, text
    assert command(server, "list")[1] == text
    assert command(server, "status", "nobody")[0] == 1


def test_bad_plans_are_refused(server):
    versions(server, files("v1"), files("v2"))
    for sent, path in [
        ({"steps": []}, "steps is empty"),
        ({"steps": [{"set_weight": 50}, {"set_weight": 10}]}, "steps[1].set_weight 10 does not rise above 50"),
        ({"steps": [{"set_weight": 10, "pause": {}}]}, "steps[0] holds 2 fields"),
        ({"steps": [{"set_weight": 10}, {"analyse": {"min_requests": 1}}]}, "steps[1].analyse.min_requests 1"),
        ({"steps": [{"set_weight": 10}], "analysis": {"metrics": [{"name": "luck"}]}}, "analysis.metrics[0].name"),
        ({"steps": [{"set_weight": 10}], "analysis": {"metrics": [{"name": "accuracy", "max_decrease": 2}]}}, "analysis.metrics[0].max_decrease"),
        ({"steps": [{"set_weight": 10}], "surprise": 1}, "unknown field surprise"),
    ]:
        answer = server.post("/api/2.0/serving-endpoints/wine/rollout", json={"version": 2, **sent})
        assert answer.status_code == 400 and path in answer.json()["message"], (sent, answer.text)
        entity = {"name": "stable", "entity_name": "wine", "entity_stage": "Production"}
        config = {"served_entities": [entity], "rollout": sent}
        answer = requests.put(server.url + "/api/2.0/serving-endpoints/wine/config", json=config, timeout=30)
        assert answer.status_code == 400 and "rollout." + path.removeprefix("unknown field ") in answer.json()["message"], answer.text
    assert rollout(server)["phase"] is None
    assert endpoint(server, "wine")["implicit"] is True
