"""Versions that no endpoint routes answer by their number: loaded when asked for, within the same memory, and let go when nobody asks."""

import re
import subprocess
import threading

import pytest
import requests
from conftest import BINARY, Server, split_body, wait_until
from lifecycle import Load, add_version, configure, files, heavy_files, move, serves

COST = 260 << 10  # about what one example costs by the server's estimate


def invoke(server, version, name="wine", **kw):
    return server.post(f"/models/{name}/versions/{version}/invocations", json=split_body(), **kw)


def states(server):
    found = re.findall(r'^sluice_servable_state\{model="(\w+)",.*state="(\w+)".*version="(\d+)".*\} 1$', server.get("/metrics").text, re.M)
    return {(model, version): state for model, state, version in found}


def metric(server, name):
    return float(re.search(rf"^sluice_servable_{name}\S* (\S+)$", server.get("/metrics").text, re.M).group(1))


@pytest.fixture(scope="module")
def cellar(tmp_path_factory):
    """wine in 12 versions, the first in Production; five fit the memory, four may be on demand."""
    s = Server(
        tmp_path_factory.mktemp("cellar") / "data", "--model-memory-bytes", str(5 * COST), "--on-demand-versions", "4", "--on-demand-idle", "2s"
    ).start()
    for i in range(12):
        add_version(s, "wine", files("v1" if i % 2 else "v2"))
    move(s, "wine", "1")
    serves(s, "1")
    yield s
    s.stop()


def test_an_unrouted_version_answers(cellar):
    answer = invoke(cellar, 7)
    assert answer.status_code == 200, answer.text
    headers = answer.headers
    assert (headers["X-Sluice-Endpoint"], headers["X-Sluice-Model-Version"], headers["X-Sluice-Arm"]) == ("wine", "7", "on-demand")
    assert answer.json() == invoke(cellar, 1).json(), "versions 1 and 7 are the same model"
    routed = cellar.get("/api/2.0/serving-endpoints/wine").json()["config"]["served_entities"]
    assert [e["serving_version"] for e in routed] == ["1"], "asking for a version routes nothing to it"
    for path in ("/models/wine/versions/99/invocations", "/models/beer/versions/1/invocations", "/models/wine/versions/0/invocations"):
        unknown = cellar.post(path, json=split_body())
        assert unknown.status_code == 404 and unknown.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST", unknown.text


def test_bounds(cellar):
    """More versions than may be kept, and more than fit the memory, answer one after the other."""
    for _ in range(2):
        for version in range(1, 13):
            assert invoke(cellar, version).status_code == 200, version
            assert len([v for v in states(cellar) if v != ("wine", "1")]) <= 4 + 1  # one may be unloading
    wait_until(lambda: metric(cellar, "memory") <= 5 * COST, what="the budget")


def test_one_load_for_all_who_ask(cellar):
    wait_until(lambda: ("wine", "9") not in states(cellar), what="version 9 let go")
    answers, printed = [], len(cellar.out)
    threads = [threading.Thread(target=lambda: answers.append(invoke(cellar, 9).status_code)) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [200] * 16
    wait_until(lambda: any("servable ready" in line for line in cellar.out[printed:]), what="the log")
    assert sum("servable ready" in line for line in cellar.out[printed:]) == 1


def test_idle_versions_are_let_go(cellar):
    assert invoke(cellar, 5).ok and ("wine", "5") in states(cellar)
    wait_until(lambda: set(states(cellar)) == {("wine", "1")}, what="only the routed version")
    assert invoke(cellar, 5).ok


def test_a_version_asked_for_becomes_routed(cellar):
    assert invoke(cellar, 3).ok
    with Load(cellar) as load:
        move(cellar, "wine", "3")
        serves(cellar, "3")
        move(cellar, "wine", "1")
        serves(cellar, "1")
    load.check()
    assert invoke(cellar, 3).ok


def test_a_deleted_version_is_gone(cellar):
    assert invoke(cellar, 12).ok
    gone = requests.delete(cellar.url + "/api/2.0/mlflow/model-versions/delete", json={"name": "wine", "version": "12"}, timeout=30)
    assert gone.status_code == 200, gone.text
    wait_until(lambda: invoke(cellar, 12).status_code == 404, what="404 for the deleted version")


def test_too_little_time_to_load(tmp_path):
    s = Server(tmp_path / "data").start()
    try:
        add_version(s, "big", heavy_files(50))
        late = invoke(s, 1, "big", headers={"X-Sluice-Timeout-Ms": "5"})
        assert late.status_code == 503 and int(late.headers["Retry-After"]) >= 1, late.text
        assert late.json()["error_code"] == "TEMPORARILY_UNAVAILABLE" and "is being loaded" in late.json()["message"]
        assert invoke(s, 1, "big").ok, "the load goes on, and the next request finds it"
        assert invoke(s, 1, "big", headers={"X-Sluice-Timeout-Ms": "10000"}).ok
    finally:
        s.stop()


def test_the_same_permission_as_an_endpoint(tmp_path):
    s = Server(tmp_path / "data").start()
    try:
        add_version(s, "wine", files("v1"))
        keys = {}
        for permission in ("read", "predict"):
            command = [str(BINARY), "keys", "create", permission, "--permissions", permission, "--data-dir", str(tmp_path / "data")]
            keys[permission] = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip().split()[-1]
        wait_until(lambda: invoke(s, 1).status_code == 401, what="keys count")
        allowed = {p: invoke(s, 1, headers={"Authorization": f"Bearer {key}"}).status_code for p, key in keys.items()}
        assert allowed == {"read": 403, "predict": 200}
    finally:
        s.stop()


def test_switched_off(tmp_path):
    s = Server(tmp_path / "data", "--on-demand-versions", "0").start()
    try:
        for package in ("v1", "v2"):
            add_version(s, "wine", files(package))
        move(s, "wine", "1")
        serves(s, "1")
        refused = invoke(s, 2)
        assert refused.status_code == 404 and "not served" in refused.json()["message"], refused.text
        configure(s, "wine", "wine", ("a", {"entity_version": "1"}, 100), ("b", {"entity_version": "2"}, 0))
        wait_until(lambda: invoke(s, 2).ok, what="version 2, routed with weight 0")
    finally:
        s.stop()
