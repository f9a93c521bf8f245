"""More requests than the processors can answer: what can be answered is, the rest learns at once that it must come again.

The figures are ratios within one run; where others use the machine meanwhile, work is measured by the server's processor time.
"""

import json
import statistics
import subprocess
import threading
import time

import pytest
import requests
from conftest import BINARY, Server, split_body, wait_until
from lifecycle import add_version, busy_files, move, serves

PATH = "/endpoints/wine/invocations"
CONNECTIONS = 256  # of the overload: the answers that are on their way hold half of them, refusals need the rest


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A server with one model that takes a few ms of processor time per row."""
    s = Server(tmp_path_factory.mktemp("busy") / "data", "--log-level", "warn").start()
    add_version(s, "wine", busy_files())
    move(s, "wine", "1")
    serves(s, "1")
    yield s
    s.stop()


def processor_time(server):
    """Seconds of processor time that the server has used."""
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


class Loaded:
    """`sluice loadtest` against the busy server, in the background; report() waits for its end."""

    def __init__(self, server, tmp_path, name, *args):
        self.out = tmp_path / f"{name}.json"
        self.server, self.before = server, processor_time(server)
        self.tool = subprocess.Popen(
            [str(BINARY), "loadtest", server.url + PATH, "--json", str(self.out), *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def report(self):
        text, _ = self.tool.communicate(timeout=120)
        assert self.tool.returncode == 0, text
        got = json.loads(self.out.read_text())
        got["processor"] = processor_time(self.server) - self.before
        got["good"] = got["by_status"].get("200", 0)
        return got


def overload(server, tmp_path, name, rate, seconds, *args):
    return Loaded(
        server, tmp_path, name, "--rate", str(rate), "--arrivals", "poisson", "--duration", f"{seconds}s", "--connections", str(CONNECTIONS), *args
    )


@pytest.fixture
def capacity(busy, tmp_path):
    """What the server answers just now to 64 clients that each wait for their answer: none of them is ever turned away."""
    got = Loaded(busy, tmp_path, "closed", "--duration", "3s", "--connections", "64").report()
    assert got["by_status"] == {"200": got["answered"]}, got
    return got


def refused(server):
    """{(reason, class): count} of the metric."""
    out = {}
    for line in server.get("/metrics").text.splitlines():
        if line.startswith("sluice_requests_refused_total{"):
            labels, value = line.split("{")[1].split("} ")
            labels = dict(part.split("=") for part in labels.replace('"', "").split(","))
            out[labels["reason"], labels["class"]] = float(value)
    return out


def during(seconds, ask):
    """What ask returned, again and again and several times at once: a load in the background must go on for longer."""
    end, out = time.monotonic() + seconds, []

    def loop():
        while time.monotonic() < end:
            out.append(ask())

    threads = [threading.Thread(target=loop) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


def timed(server, headers=None):
    began = time.monotonic()
    answer = server.post(PATH, json=split_body(), headers=headers)
    return answer, time.monotonic() - began


def test_three_times_the_capacity(busy, capacity, tmp_path):
    rate = capacity["good"] / capacity["seconds"]
    calm = statistics.median(timed(busy)[1] for _ in range(20))
    load = overload(busy, tmp_path, "open", 3 * rate, 8)
    wait_until(lambda: refused(busy).get(("queue_delay", "interactive"), 0) > 100, what="refusals")
    probes = during(3, lambda: timed(busy))
    got = load.report()
    stopped = time.monotonic()

    # Answers per second of processor time, refusals included: 0.85 of what it is without them, which the benchmark shows, less a margin.
    worth = (got["good"] / got["processor"]) / (capacity["good"] / capacity["processor"])
    assert worth > 0.75, (got, capacity)
    assert got["good"] / 8 > 0.5 * rate, (got, capacity)
    assert set(got["by_status"]) == {"200", "429"} and got["by_status"]["429"] > 0.2 * got["sent"], got

    turned = [(a, t) for a, t in probes if a.status_code == 429]
    answered = [t for a, t in probes if a.status_code == 200]
    assert turned, "nobody was turned away"
    for answer, _ in turned:
        assert int(answer.headers["Retry-After"]) >= 1 and answer.json()["error_code"] == "RESOURCE_EXHAUSTED", answer.text
        assert answer.headers["X-Sluice-Endpoint"] == "wine" and answer.headers["X-Sluice-Prediction-Id"]
    if answered:  # what is turned away does not wait with those that are let in
        assert statistics.median(t for _, t in turned) < 0.5 * statistics.median(answered), (turned, answered)

    # Normal again: three answers in a row as quick as before the load.
    def quick():
        return all(a.status_code == 200 and t < 3 * calm + 0.05 for a, t in (timed(busy) for _ in range(3)))

    wait_until(quick, what="latency as before")
    assert time.monotonic() - stopped < 2 + 3 * 3 * calm, "back to normal within 2 s"


def test_lower_classes_go_first(busy, capacity, tmp_path):
    rate = capacity["good"] / capacity["seconds"]
    before = refused(busy)
    batch = overload(busy, tmp_path, "batch", 5 * rate, 10, "--header", "X-Sluice-Priority: batch")
    wait_until(lambda: refused(busy).get(("queue_delay", "batch"), 0) > before.get(("queue_delay", "batch"), 0) + 50, what="refusals")
    interactive = Loaded(busy, tmp_path, "interactive", "--rate", str(0.2 * rate), "--duration", "3s", "--connections", "64").report()
    shadows = during(1, lambda: timed(busy, {"X-Sluice-Priority": "shadow"})[0].status_code)
    got = batch.report()
    assert interactive["good"] > 0.95 * interactive["sent"], interactive
    assert got["by_status"]["429"] > 0.2 * got["sent"], got
    assert shadows.count(429) > 0.7 * len(shadows), shadows


def test_a_burst_is_let_in(busy):
    answers = []
    sessions = [requests.Session() for _ in range(200)]
    threads = [threading.Thread(target=lambda s=s: answers.append(s.post(busy.url + PATH, json=split_body(), timeout=60).status_code)) for s in sessions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for s in sessions:
        s.close()
    assert answers.count(200) >= 195, answers


def test_a_deadline_that_cannot_be_met(busy, tmp_path):
    """Behind sixty others a request waits longer than 20 ms: it learns so at once, or in its time, and the model is not asked."""
    load = Loaded(busy, tmp_path, "closed", "--duration", "3s", "--connections", "64")
    before = refused(busy)
    statuses = []
    while load.tool.poll() is None:
        statuses.append(timed(busy, {"X-Sluice-Timeout-Ms": "20"})[0].status_code)
    assert load.report()["failed"] == 0
    assert set(statuses) <= {200, 429, 504} and statuses.count(429) > len(statuses) / 2, statuses
    assert refused(busy)["deadline", "interactive"] > before.get(("deadline", "interactive"), 0)


def test_switched_off(tmp_path):
    s = Server(tmp_path / "data", "--max-queue-delay", "0", "--max-in-flight", "300").start()
    try:
        add_version(s, "wine", busy_files(200_000))
        move(s, "wine", "1")
        serves(s, "1")
        got = Loaded(s, tmp_path, "open", "--rate", "20000", "--duration", "1s", "--connections", "200").report()
        assert got["failed"] == 0, got
    finally:
        s.stop()
