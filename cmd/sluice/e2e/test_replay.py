"""Recorded requests asked again: of a version before it gets traffic, and as a load at their own times."""

import json
import subprocess

import pytest
from conftest import BINARY, Server, own_environ, split_body, wait_until
from lifecycle import JSON, add_version, configure, files, serves

ASKED = 30


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A server whose endpoint has 30 different requests, answered by version 1, in its delivered log."""
    server = Server(tmp_path_factory.mktemp("replay") / "data", "--demo", "--serving-metrics-interval", "300ms").start().ready()
    configure(server, "wine", "wine", ("stable", {"entity_version": "1"}, 100))
    serves(server, "1")
    for n in range(ASKED):
        body = split_body(1)
        body["dataframe_split"]["data"][0][0] += n / 10
        assert server.post("/endpoints/wine/invocations", json=body).ok
    wait_until(lambda: counter(server, 'predlog_records_total{state="delivered"}') >= ASKED, 60, "the delivered log")
    yield server
    server.stop()


def counter(server, name):
    return sum(float(line.split()[-1]) for line in server.get("/metrics").text.splitlines() if line.startswith("sluice_" + name))


def sluice(server, *args):
    return subprocess.run([str(BINARY), *args], capture_output=True, text=True, timeout=120, env=own_environ() | {"MLFLOW_TRACKING_URI": server.url})


def replay(server, tmp_path, candidate, *args):
    report = tmp_path / "report.json"
    ran = sluice(server, "replay", "--endpoint", "wine", "--candidate", candidate, "--last", str(ASKED), "--json", str(report), *args)
    assert report.exists(), ran.stderr
    return ran, json.loads(report.read_text())


def test_a_candidate_is_compared_and_nothing_counts_as_live_traffic(recorded, tmp_path):
    log = "--from-log", str(recorded.data_dir / "artifacts")
    before = counter(recorded, "requests_total"), counter(recorded, 'predlog_records_total{state="offered"}')
    ran, same = replay(recorded, tmp_path, "1")  # from the server's own log
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (same["records"], same["same"], same["different"], same["failed"]) == (ASKED, ASKED, 0, 0), same
    ran, other = replay(recorded, tmp_path, "2", "--html", str(tmp_path / "report.html"), *log)
    assert ran.returncode == 1 and "version 2 does not pass" in ran.stderr, ran.stderr
    assert other["different"] == ASKED and other["numbers_different"] > 0 and len(other["examples"]) == 5, other
    assert other["examples"][0]["prediction_id"] in (tmp_path / "report.html").read_text()
    ran, _ = replay(recorded, tmp_path, "2", "--max-different", "1", *log)
    assert ran.returncode == 0, ran.stderr
    assert (counter(recorded, "requests_total"), counter(recorded, 'predlog_records_total{state="offered"}')) == before
    assert counter(recorded, "requests_replayed_total") == 3 * ASKED


def test_a_log_is_a_load_at_its_own_times(recorded, tmp_path):
    report = tmp_path / "report.json"
    log = str(recorded.data_dir / "artifacts")
    ran = sluice(recorded, "loadtest", recorded.url + "/endpoints/wine/invocations", "--from-log", log, "--pace", "x2", "--connections", "2", "--json", str(report))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "at the recorded times, x2" in ran.stdout
    wrong = sluice(recorded, "loadtest", recorded.url + "/endpoints/wine/invocations", "--pace", "recorded")
    assert wrong.returncode == 1 and "--from-log" in wrong.stderr
    answer = recorded.post("/endpoints/wine/invocations", json=split_body(), headers=JSON | {"X-Sluice-Replay": "1"})
    assert answer.status_code == 400 and "/models/NAME/versions/N" in answer.text


def test_a_new_version_is_warmed_up_by_recorded_requests(recorded):
    """What requests of before look like is asked of a version before it is ready; none of it is a request."""
    before = counter(recorded, "requests_total")
    version = add_version(recorded, "wine", files("v2"))
    configure(recorded, "wine", "wine", ("stable", {"entity_version": version}, 100))
    serves(recorded, version)
    line = wait_until(lambda: next((x for x in recorded.out if "warmed up by recorded requests" in x and f"wine/{version}" in x), None), 30, "the warm-up")
    assert "requests=16" in line and "failed=0" in line, line
    assert counter(recorded, "requests_total") - before < ASKED
