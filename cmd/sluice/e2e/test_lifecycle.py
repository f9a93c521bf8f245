"""Versions, stages, aliases and endpoints change while clients ask: no request fails, and every answer is by a version that was routed then."""

import threading
import time

import pytest
import requests
from conftest import wait_until
from lifecycle import BODY, JSON, Load, add_version, configure, endpoint, files, heavy_files, move, serves, version_of


@pytest.fixture(scope="module")
def heavy():
    return heavy_files()


def test_stage_changes_under_load_with_light_and_heavy_versions(server, heavy):
    for package in (files("v1"), heavy, files("v2")):
        add_version(server, "wine", package)
    move(server, "wine", "1")
    serves(server, "1")
    moves = [(time.monotonic(), "1")]
    with Load(server) as load:
        for version in ["2", "3", "1", "2", "1", "3", "2", "1"]:
            moves.append((time.monotonic(), version))
            move(server, "wine", version)
            serves(server, version)
        for version in ["2", "3", "1", "2", "3"]:  # nobody waits: the last one wins
            moves.append((time.monotonic(), version))
            move(server, "wine", version)
        serves(server, "3")
        moves.append((time.monotonic(), "3"))
        load.stop()
    load.check()
    assert {r.version for r in load.replies} == {"1", "2", "3"}
    for r in load.replies[:: max(1, len(load.replies) // 2000)]:
        before = [v for at, v in moves if at <= r.got]
        # A version may still answer that was routed before the last one was asked for, and was not yet replaced.
        assert r.version in before, (r, before)
    settled = [r for r in load.replies if r.sent > moves[-1][0]]
    assert all(r.version == "3" for r in settled)


def test_a_version_that_cannot_load_leaves_the_old_one_serving(server):
    add_version(server, "wine", files("v1"))
    add_version(server, "wine", {**files("v2"), "model.onnx": b"not a model"})
    move(server, "wine", "1")
    serves(server, "1")
    with Load(server) as load:
        move(server, "wine", "2")

        def reason():
            return next((e["state"] for e in endpoint(server, "wine")["config"]["served_entities"] if "FAILED" in str(e["state"])), None)

        said = wait_until(reason, what="the reason of the failure")
        assert "version 1 keeps serving" in str(said), said
        assert server.get("/ready").status_code == 200
        assert version_of(server) == "1"
        add_version(server, "wine", files("v2"))
        move(server, "wine", "3")
        serves(server, "3")
    load.check()
    assert {r.version for r in load.replies} <= {"1", "3"}


def test_an_emptied_stage_keeps_its_last_version_also_after_a_restart(server):
    add_version(server, "wine", files("v1"))
    add_version(server, "wine", files("v2"))
    move(server, "wine", "1")
    move(server, "wine", "2", "Staging")
    configure(server, "wine", "wine", ("stable", {"entity_stage": "Production"}, 60), ("canary", {"entity_stage": "Staging"}, 40))
    wait_until(lambda: {version_of(server) for _ in range(20)} == {"1", "2"}, what="both arms")
    with Load(server) as load:
        move(server, "wine", "1", "Archived")
        move(server, "wine", "2", "None")
        wait_until(lambda: "STALE" in str(endpoint(server, "wine")).upper(), what="the stale mark")
        wait_until(
            lambda: "stale" in server.get("/api/2.0/serving-endpoints/wine/events").text.lower(), what="the event about the stale arm"
        )
    load.check()
    assert {(r.arm, r.version) for r in load.replies} == {("stable", "1"), ("canary", "2")}
    assert server.stop() == 0
    server.start().ready()
    assert {version_of(server) for _ in range(40)} == {"1", "2"}
    server.kill()
    server.start().ready()
    assert {version_of(server) for _ in range(40)} == {"1", "2"}


def delete_version(server, version, **more):
    return requests.delete(f"{server.url}/api/2.0/mlflow/model-versions/delete", json={"name": "wine", "version": version, **more}, timeout=30)


def test_deleting_what_is_routed_is_refused_unless_forced(server):
    add_version(server, "wine", files("v1"))
    add_version(server, "wine", files("v2"))
    move(server, "wine", "1")
    serves(server, "1")
    refused = delete_version(server, "1")
    assert refused.status_code == 409 and '"wine"' in refused.json()["message"], refused.text
    model = requests.delete(f"{server.url}/api/2.0/mlflow/registered-models/delete", json={"name": "wine"}, timeout=30)
    assert model.status_code == 409, model.text
    with Load(server) as load:
        move(server, "wine", "2")
        serves(server, "2")
        assert delete_version(server, "1").status_code == 200
    load.check()
    assert delete_version(server, "2", force=True).status_code == 200
    wait_until(lambda: server.post("/endpoints/wine/invocations", data=BODY, headers=JSON).status_code in (404, 503), what="nothing to serve")
    assert server.get("/health").ok


def test_alias_moves_under_load(server):
    for directory in ("v1", "v2"):
        add_version(server, "wine", files(directory))
    alias = {"name": "wine", "alias": "champion"}
    server.api("POST", "registered-models/alias", {**alias, "version": "1"})
    created = server.post(
        "/api/2.0/serving-endpoints",
        json={"name": "cellar", "config": {"served_entities": [{"name": "one", "entity_name": "wine", "entity_alias": "champion"}]}},
    )
    assert created.status_code == 200, created.text
    serves(server, "1", "cellar")
    with Load(server, "/endpoints/cellar/invocations") as load:
        for version in ["2", "1", "2"]:
            server.api("POST", "registered-models/alias", {**alias, "version": version})
            serves(server, version, "cellar")
        gone = requests.delete(f"{server.url}/api/2.0/mlflow/registered-models/alias", json=alias, timeout=30)
        assert gone.status_code == 200, gone.text
        wait_until(lambda: "STALE" in str(endpoint(server, "cellar")).upper(), what="the stale mark")
        assert version_of(server, "cellar") == "2"
    load.check()


def test_configuration_and_stages_race(server):
    """Every pair of arm and version that answers is one that some published revision had."""
    for directory in ("v1", "v2", "v1"):
        add_version(server, "wine", files(directory))
    move(server, "wine", "1")
    serves(server, "1")
    splits = [
        [("stable", {"entity_stage": "Production"}, 100)],
        [("stable", {"entity_stage": "Production"}, 50), ("canary", {"entity_version": "3"}, 50)],
        [("canary", {"entity_version": "3"}, 100)],
    ]
    configure(server, "wine", "wine", *splits[0])
    wait_until(lambda: endpoint(server, "wine")["state"]["config_update"] == "NOT_UPDATING", what="the first configuration")
    failures = []

    def edit():
        try:
            for i in range(40):
                configure(server, "wine", "wine", *splits[i % 3])
        except Exception as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    with Load(server) as load:
        writer = threading.Thread(target=edit)
        writer.start()
        for i in range(30):
            move(server, "wine", "2" if i % 2 == 0 else "1")
        writer.join()
        configure(server, "wine", "wine", *splits[1])
        wait_until(lambda: {version_of(server) for _ in range(20)} == {"1", "3"}, what="the last configuration")
    assert not failures, failures
    load.check()
    seen = {(r.arm, r.version) for r in load.replies}
    implicit = {(a, v) for a, v in seen if a not in ("stable", "canary")}
    assert not implicit and seen <= {("stable", "1"), ("stable", "2"), ("canary", "3")}, seen


def test_implicit_explicit_deleted_and_the_default_endpoint(server):
    add_version(server, "wine", files("v1"))
    add_version(server, "wine", files("v2"))
    move(server, "wine", "1")
    serves(server, "1")
    assert server.post("/invocations", data=BODY, headers=JSON).headers["X-Sluice-Endpoint"] == "wine"  # the only one
    with Load(server) as load:
        configure(server, "wine", "wine", ("pinned", {"entity_version": "2"}, 100))
        serves(server, "2")
        assert server.post("/api/2.0/serving-endpoints", json={"name": "wine", "config": {"served_entities": []}}).status_code in (400, 409)
        gone = requests.delete(server.url + "/api/2.0/serving-endpoints/wine", timeout=30)
        assert gone.status_code == 200, gone.text
        serves(server, "1")  # implicit again: version 1 is in Production
    load.check()
    implicit = requests.delete(server.url + "/api/2.0/serving-endpoints/wine", timeout=30)
    assert implicit.status_code == 400 and "Production" in implicit.json()["message"]

    # a second endpoint on the same registered model
    entity = {"name": "two", "entity_name": "wine", "entity_version": "2"}
    created = server.post("/api/2.0/serving-endpoints", json={"name": "second", "config": {"served_entities": [entity]}})
    assert created.status_code == 200, created.text
    serves(server, "2", "second")
    assert version_of(server) == "1"
    nobody = server.post("/invocations", data=BODY, headers=JSON)
    assert nobody.status_code == 400 and "X-Sluice-Endpoint" in nobody.json()["message"], nobody.text
    named = server.post("/invocations", data=BODY, headers={**JSON, "X-Sluice-Endpoint": "second"})
    assert named.headers["X-Sluice-Model-Version"] == "2"
    with Load(server, "/endpoints/second/invocations") as load:
        move(server, "wine", "2")  # shared by both now
        serves(server, "2")
        move(server, "wine", "1")  # and not unloaded while the other needs it
        serves(server, "1")
    load.check()
    assert requests.delete(server.url + "/api/2.0/serving-endpoints/second", timeout=30).status_code == 200
    wait_until(lambda: server.post("/invocations", data=BODY, headers=JSON).ok, what="one endpoint, which needs no name")
    server.stop()
    server.args += ["--default-endpoint", "nobody"]
    server.start().ready()
    said = server.post("/invocations", data=BODY, headers=JSON)
    assert said.status_code == 503 and "nobody" in said.json()["message"], said.text  # it may be made later
