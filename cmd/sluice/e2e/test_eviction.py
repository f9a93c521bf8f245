"""Many more models than fit the memory budget: each answers, those asked for often stay, and what is loaded keeps to the budget."""

import re
import threading

import pytest
from conftest import Server, split_body, wait_until
from lifecycle import add_version, files, move

MODELS, FIT = 200, 40
COST = 260 << 10  # about what one example costs by the server's estimate
BUDGET = FIT * COST


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """MODELS registered models, each with one version in Production, on a server whose budget holds FIT of them."""
    s = Server(tmp_path_factory.mktemp("crowd") / "data", "--model-memory-bytes", str(BUDGET), "--log-level", "warn").start()
    for i in range(MODELS):
        add_version(s, f"m{i}", files("v1" if i % 2 else "v2"))
        move(s, f"m{i}", "1")
    wait_until(lambda: len(endpoints(s)) == MODELS and all(e["state"]["ready"] == "READY" for e in endpoints(s)), 120, "every endpoint")
    yield s
    s.stop()


def endpoints(server):
    return server.get("/api/2.0/serving-endpoints").json().get("endpoints", [])


def ask(server, i, headers=None):
    return server.post(f"/endpoints/m{i}/invocations", json=split_body(), headers=headers)


def metric(server, name):
    found = re.search(rf"^sluice_servable_{name}\S* (\S+)$", server.get("/metrics").text, re.M)
    return float(found.group(1))


def states(server):
    return re.findall(r'^sluice_servable_state\{.*state="(\w+)".*\} 1$', server.get("/metrics").text, re.M)


def test_every_model_answers_within_the_budget(crowd):
    assert crowd.get("/ready").status_code == 200
    assert states(crowd).count("evicted") >= MODELS - FIT
    for i in range(MODELS):
        answer = ask(crowd, i)
        assert answer.status_code == 200, (i, answer.text)
        assert answer.headers["X-Sluice-Endpoint"] == f"m{i}"
    wait_until(lambda: metric(crowd, "memory") <= BUDGET, what="the budget")
    assert FIT // 2 <= states(crowd).count("ready") <= FIT


def test_those_asked_for_often_stay(crowd):
    for _ in range(4):
        assert ask(crowd, 0).ok
    before = metric(crowd, "reloads")
    for i in range(1, MODELS, 2):
        assert ask(crowd, i).ok and ask(crowd, 0).ok and ask(crowd, 0).ok
    cold = metric(crowd, "reloads") - before
    assert cold <= MODELS // 2, "the hot one was loaded again"


def test_one_load_for_all_who_wait(crowd):
    names = iter(range(MODELS))
    victim = next(i for i in names if f'model="m{i}",state="evicted"' in crowd.get("/metrics").text.replace(" ", ""))
    before, answers = metric(crowd, "reloads"), []
    threads = [threading.Thread(target=lambda: answers.append(ask(crowd, victim).status_code)) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [200] * 16
    assert metric(crowd, "reloads") - before == 1


def test_too_little_time_to_load_is_503(tmp_path):
    """A version that takes longer to load than the request may wait."""
    from lifecycle import heavy_files

    with_room_for_one = Server(tmp_path / "data", "--model-memory-bytes", str(150 << 20)).start()
    try:
        for name in ("big-a", "big-b"):
            add_version(with_room_for_one, name, heavy_files(50))
            move(with_room_for_one, name, "1")
            wait_until(lambda: with_room_for_one.post(f"/endpoints/{name}/invocations", json=split_body()).ok, 60, name)
        late = with_room_for_one.post("/endpoints/big-a/invocations", json=split_body(), headers={"X-Sluice-Timeout-Ms": "5"})
        assert late.status_code == 503 and int(late.headers["Retry-After"]) >= 1, late.text
        assert late.json()["error_code"] == "TEMPORARILY_UNAVAILABLE" and "loaded again" in late.json()["message"]
        assert endpoint_ready(with_room_for_one, "big-a")
        assert with_room_for_one.post("/endpoints/big-a/invocations", json=split_body()).ok
    finally:
        with_room_for_one.stop()


def endpoint_ready(server, name):
    return server.get(f"/api/2.0/serving-endpoints/{name}").json()["state"]["ready"] == "READY"


def test_a_model_above_the_budget_is_refused_with_both_numbers(tmp_path):
    s = Server(tmp_path / "data", "--model-memory-bytes", "100000").start()
    try:
        add_version(s, "wine", files("v1"))
        move(s, "wine", "1")
        told = wait_until(
            lambda: next((e for e in endpoints(s) if "needs" in str(e)), None), 30, "the reason"
        )
        assert re.search(r"needs \d+ bytes of memory, the budget for all versions is 100000", str(told)), told
    finally:
        s.stop()
