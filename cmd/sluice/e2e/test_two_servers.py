"""Two servers on one PostgreSQL: what one is told the other follows, of two that write one wins, and a rollout is carried out by one with the requests of both."""

import collections
import concurrent.futures
import time

import databases
import pytest
import requests
from conftest import Server, wait_until
from lifecycle import BODY, JSON, add_version, configure, endpoint, files, move, serves
from test_rollout import PLAN, Callers, body, events, phase, picky_files, plan, rollout, stages, tag, versions


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    place = tmp_path_factory.mktemp("pair")
    with databases.postgresql() as uri:
        common = ["--backend-store-uri", uri, "--artifacts-destination", str(place / "artifacts")]
        servers = [Server(place / name, *common).start() for name in ("first", "second")]
        yield servers
        assert [s.stop() for s in servers] == [0, 0]


def both(pair, send):
    """Gives both servers an order in the same moment; returns the answers."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(send, pair))


def one_wins(answers):
    statuses = sorted(a.status_code for a in answers)
    assert statuses == [200, 409], [a.text for a in answers]
    return next(a.json() for a in answers if a.status_code == 200), next(a.json() for a in answers if a.status_code == 409)


def test_edits_of_one_are_seen_by_the_other(pair):
    first, second = pair
    made = [add_version(first, "grape", files(v)) for v in ("v1", "v2")]
    move(first, "grape", made[0])
    for server in pair:
        serves(server, made[0], "grape")
    slowest = 0
    for i in range(4):
        teller, hearer = pair[i % 2], pair[(i + 1) % 2]
        if i < 2:
            told, version = time.monotonic(), made[(i + 1) % 2]
            move(teller, "grape", version)
        else:
            told, version = time.monotonic(), made[i % 2]
            configure(teller, "grape", "grape", ("only", {"entity_version": version}, 100))
        serves(hearer, version, "grape")
        slowest = max(slowest, time.monotonic() - told)
    print(f"the slowest edit took {slowest:.1f} s")
    assert slowest < 15, "every 5 s, and a busy machine"


def test_of_two_that_write_one_wins(pair):
    first, second = pair
    made = [add_version(first, "vine", files(v)) for v in ("v1", "v2")]
    move(first, "vine", made[0])
    configure(first, "vine", "vine", ("stable", {"entity_stage": "Production"}, 100))
    for _ in range(5):
        now = endpoint(first, "vine")["config"]["config_version"]
        change = {"config_version": now, "sticky": {"header": "X-User"}}
        won, lost = one_wins(both(pair, lambda s: requests.put(s.url + "/api/2.0/serving-endpoints/vine/config", json=change, timeout=60)))
        assert won["config"]["config_version"] == now + 1 and lost["error_code"] == "RESOURCE_CONFLICT" and str(now + 1) in str(lost), lost
        assert [endpoint(s, "vine")["config"]["config_version"] for s in pair] == [now + 1] * 2
    for i in range(4):
        was, wanted = made[i % 2], made[(i + 1) % 2]
        order = {"name": "vine", "version": wanted, "stage": "Production", "archive_existing_versions": True, "expected_version": was}
        _, lost = one_wins(both(pair, lambda s: s.post("/api/2.0/mlflow/model-versions/transition-stage", json=order)))
        assert str(lost["current_version"]) == wanted, lost


def ask(server, times):
    """Asks what no version fails for; counts the versions that answered."""
    seen = collections.Counter()
    with requests.Session() as session:
        for _ in range(times):
            answer = session.post(server.url + "/endpoints/wine/invocations", data=body(13), headers=JSON, timeout=60)
            assert answer.ok, answer.text
            seen[answer.headers["X-Sluice-Model-Version"]] += 1
    return seen


def test_one_drives_with_the_requests_of_both(pair):
    """What the follower's callers meet decides too; when the driver is killed the other one goes on; the one that comes back follows."""
    first, second = pair
    one, two = versions(first, files("v2"), picky_files())
    plan(first, PLAN | {"steps": [{"set_weight": 20}, {"analyse": {"min_requests": 5000}}, {"pause": {}}]})
    serves(second, one)
    move(first, "wine", two)
    for server in pair:
        wait_until(lambda server=server: rollout(server).get("step") == 1, what="the first step")
    driver = rollout(first)["driver"]
    leads, follows = pair if (first.data_dir / "instance").read_text().strip() == driver else pair[::-1]
    wait_until(lambda: ask(follows, 1)[two], what="the canary at the follower")
    seen = ask(follows, 400)
    counted = wait_until(lambda: (n := rollout(leads)["canary"]["requests"]) >= seen[two] and n, what="the follower's requests at the driver")
    assert seen[two] > 40 and counted <= seen[two] + 60, (seen, counted)  # and what was asked while waiting
    wait_until(lambda: rollout(follows)["canary"]["requests"] == rollout(leads)["canary"]["requests"], what="the same numbers at both")

    leads.kill()
    killed = time.monotonic()
    took = wait_until(lambda: rollout(follows)["driver"] != driver and time.monotonic(), 30, "another driver")
    assert took - killed < 15, "a lease of 6 s, and a busy machine"
    assert rollout(follows)["canary"]["requests"] >= counted, "what was stored is lost"
    leads.start().ready()
    with Callers(leads):
        done = wait_until(lambda: (now := rollout(follows))["phase"] == "rolled_back" and now, 60, "the rollback for what the follower's callers met")
    assert done["driver"] != driver and done["canary"]["errors"] > 0, done
    for server in pair:
        serves(server, one)
        phase(server, "rolled_back")
        assert stages(server) == {one: "Production", two: "Archived"}
    told = events(follows)
    assert [told.count(f"rollout_{k}") for k in ("started", "taken_over", "decided", "rolled_back")] == [1, 1, 1, 1], told
    assert tag(follows, two).startswith("rolled_back: endpoint wine")


def test_both_count_into_one_serving_run(pair):
    """The sums of a serving run are those of both servers, as its segments are."""
    first = pair[0]
    move(first, "cask", add_version(first, "cask", files("v2")))
    for server in pair:
        serves(server, "1", "cask")
    for i in range(60):
        assert pair[i % 2].post("/endpoints/cask/invocations", data=BODY, headers=JSON).ok

    def counted():
        page = first.get("/api/2.0/sluice/predictions", params={"endpoint": "cask", "model_version": 1, "limit": 1000}).json()["predictions"]
        (experiment,) = first.api("POST", "experiments/search", {"filter": "name = 'serving/cask'", "max_results": 1})["experiments"]
        found = first.api("POST", "runs/search", {"experiment_ids": [experiment["experiment_id"]], "filter": "tags.`sluice.model_version` = '1'"})["runs"]
        sums = [{m["key"]: m["value"] for m in r["data"].get("metrics", [])} for r in found]
        return len(page) >= 60 and [(s.get("requests_total"), s.get("rows_total")) for s in sums] == [(len(page), len(page))]

    wait_until(counted, 60, "the requests of both in one run")
