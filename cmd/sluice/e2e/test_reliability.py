"""The cases of routing and rollout by which servers of this kind are judged, and where each is shown.

case | what | shown by
---- | ---- | --------
R01 | stage moves under load | test_swap.py (200 moves; the benchmark's part `swap` compares the tail), test_lifecycle.py
R02 | a version that cannot be loaded, or warmed | test_lifecycle.py, gateway/rest TestReadyOfOneEndpoint, runtime/servable TestFailingWarmUpIsAFailedLoad
R03 | a move while the one before still loads | below; runtime/servable TestLoadsAreBoundedAndCancelled
R04 | SIGTERM under load | test_leaving.py
R05 | SIGTERM while loading, unloading, idle, with half a body | test_leaving.py; while unloading: below; goroutines: goleak in the packages that start them
R06 | two writers race | test_routing.py, registry/storetest "stages and aliases from"
R10 | three times the capacity | test_overload.py, the benchmark's part `overload`, gateway/admit TestOverloadKeepsTheGoodput
R11 | classes under overload | test_overload.py, gateway/admit TestLowerClassesAreRefusedFirst
R12 | callers that left | test_connections.py, gateway/invoke TestDeadlineEndsWhenTheCallerLeaves, cmd/sluice TestACallerWhoLeavesIsSeen; by their
     deadline: runtime/batch TestExpiredCallsAreNotExecuted, gateway/invoke TestExpiredShadow
R13 | a deadline that cannot be met | test_overload.py, gateway/admit TestADeadlineThatCannotBeMet
R14 | slow and silent connections | below, test_connections.py (10,000; more than there are descriptors), cmd/sluice TestTooManyConnectionsMakeRoom, test_security.py test_clumsy_protocols; they end after 60 s (2 min when idle), cmd/sluice TestADeadlineEndsTheReadThatWaits
R15 | joined calls keep their bounds and their order | runtime/batch TestQueuedCallsAreJoinedWithinMaxRows, TestRowsAndAnswersAreNeverMixed
R16 | one bad row among joined ones | runtime/batch TestPoisonFailsItsCallerOnly, TestBisectionIsBounded
R17 | the retry budget, the breaker | gateway/invoke TestRetryBudget, gateway/breaker TestHalfOpenLetsOnlyTrialsThrough
R18 | a hot model beside a cold one | runtime/batch TestAHeavyModelDoesNotStarveALightOne
R30 | the split's accuracy | gateway/route TestSplitAccuracy, TestZeroIsExactlyZero; sums that are not 100: test_endpoints.py
R31 | sticky keys | gateway/route TestRaisingMovesNobodyOut, TestSaltReshuffles, test_routing.py
R32 | 500 edits under traffic | test_routing.py
R33 | a canary that is not up | below, gateway/plan TestArmThatNeverServedGivesItsWeight
R34 | the analysis | gateway/rollout TestFalseRollbacks, TestPower, TestWithoutTrafficNothingGoesOn; real versions: test_rollout.py
R35 | kill -9 at every write of a rollout | gateway/rollout TestKilledAtEveryWrite, test_rollout.py
R36 | orders out of turn, a database that is away | gateway/rollout TestOrders, TestTheTableFollowsARollbackWhileTheDatabaseIsAway
R37 | a shadow that hangs, fails, is too slow, answers 100 MiB | gateway/invoke TestHangingShadow, TestFailingShadow, test_shadow.py; the caller's tail: the benchmark's part `shadow`
R39 | the log's sink accepts and never answers | gateway/predlog TestStalledSink, TestStalledDisk
R40 | full, read-only and failing disks | gateway/predlog TestRealDisk (real file systems), TestDiskFaults, TestFullDiskHealsThroughDelivery, test_faults.py
R41 | kill -9 of the log | gateway/predlog TestKill9 (`make crash KILLS=500`), TestGap, TestTornMark, test_prediction_log.py, test_crash.py
R42 | the same bytes with and without the log | test_prediction_log.py test_answers_are_the_same_without_the_log
R43 | sampling by key | gateway/route TestSampledShare, TestSampledTogether, gateway/invoke TestSampling, gateway/predlog TestSkip, test_sampling.py
R44 | ground truth early, late, twice, in conflict, of unknown ids | gateway/truth TestEveryOutcome
R45 | secrets | test_prediction_log.py test_secrets_are_nowhere
R63 | two servers on one database | test_two_servers.py, gateway/rollout TestAStaleDriverIsFenced, TestNothingIsCountedTwice
"""

import os
import re
import socket
import sys
import time
import urllib.parse

import pytest
from conftest import ROOT, Server, wait_until
from lifecycle import BODY, Load, add_version, configure, files, heavy_files, move, serves, version_of

def test_every_test_that_the_table_names_is_there():
    tests = {p.name: p.read_text() for p in ROOT.glob("cmd/sluice/e2e/*.py")}
    tests |= {str(p): p.read_text() for room in ("cmd", "gateway", "runtime", "registry") for p in (ROOT / room).rglob("*_test.go")}
    for name in re.findall(r"test_\w+\.py", __doc__):
        assert name in tests, name
    for name in re.findall(r"\b[Tt]est_?[A-Z_]\w+(?!\.py)\b", __doc__):
        assert any(f"func {name}(" in text or f"def {name}(" in text for text in tests.values()), name


SLOW = """
import pathlib, time
def _load_pyfunc(path):
    pathlib.Path({seen!r}).touch()
    time.sleep(600)
"""


def slow_to_load(seen):
    """A package whose model takes ten minutes to load, in Python; the file `seen` tells that it began."""
    signature = files("v2")["MLmodel"].decode().partition("\nsignature:")[2].split("\nutc_")[0]
    flavor = "flavors:\n  python_function:\n    loader_module: slow\n    code: code\nsignature:" + signature + "\n"
    return {"MLmodel": flavor.encode(), "code/slow.py": SLOW.format(seen=str(seen)).encode()}


def children(server):
    """The processes that the server started, and theirs."""
    found, of = set(), {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                of.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(name))
        except OSError:
            continue
    todo = [server.process.pid]
    while todo:
        below = of.get(todo.pop(), [])
        found.update(below)
        todo += below
    return found


@pytest.fixture
def wine(server):
    add_version(server, "wine", files("v1"))
    move(server, "wine", "1")
    serves(server, "1")
    return server


def test_a_second_move_ends_the_load_of_the_first(tmp_path):
    """R03: while version 2 takes for ever to load, version 1 answers; when the stage moves on to version 3 the load of version 2 is given up."""
    seen = tmp_path / "seen"
    server = Server(tmp_path / "data", "--python", sys.executable, "--conversion=off").start()
    try:
        for package in (files("v1"), slow_to_load(seen), files("v2")):
            add_version(server, "wine", package)
        move(server, "wine", "1")
        serves(server, "1")
        with Load(server) as load:
            move(server, "wine", "2")
            wait_until(seen.exists, 60, "version 2 loads")
            loading = children(server)
            assert loading and version_of(server) == "1"
            move(server, "wine", "3")
            serves(server, "3")
            wait_until(lambda: not loading & children(server), 30, "the processes that loaded version 2 are gone")
        load.check()
        assert {r.version for r in load.replies} == {"1", "3"}
        assert server.get("/ready").status_code == 200
    finally:
        assert server.stop() == 0


def test_sigterm_while_a_version_is_unloaded(wine):
    """R05: the version that was replaced is on its way out."""
    for package in (heavy_files(60), files("v2")):
        add_version(wine, "wine", package)
    move(wine, "wine", "2")
    serves(wine, "2", seconds=60)
    with Load(wine, clients=2) as load:
        move(wine, "wine", "3")
        serves(wine, "3")
        began = time.monotonic()
        assert wine.stop() == 0 and time.monotonic() - began < 20, wine.out[-5:]
    load.check()


def test_slow_and_silent_connections_hurt_nobody(wine):
    """R14: heads and bodies that never end, readers that do not read, sockets that say nothing."""
    where = urllib.parse.urlsplit(wine.url)
    head = f"POST /endpoints/wine/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n".encode()
    sockets = []
    try:
        with Load(wine) as load:
            before = len(load.replies)
            for i in range(400):
                s = socket.create_connection((where.hostname, where.port))
                sockets.append(s)
                if i % 4 == 0:
                    s.sendall(head)  # without its end
                elif i % 4 == 1:
                    s.sendall(head + b"\r\n" + BODY[: len(BODY) // 2])
                elif i % 4 == 2:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    s.sendall((head + b"\r\n" + BODY) * 20)  # answers that nobody reads
            for _ in range(20):  # a byte now and then
                for s in sockets[::4]:
                    s.sendall(b"X")
                time.sleep(0.02)
            wait_until(lambda: len(load.replies) > before + 200, 60, "answers meanwhile")
        load.check()
        assert wine.get("/ready").status_code == 200
    finally:
        for s in sockets:
            s.close()


def test_a_canary_that_is_not_up_gets_nothing(wine):
    """R33: a quarter of the traffic is the canary's from the first moment on; until it is loaded that quarter stays where it was."""
    add_version(wine, "wine", heavy_files(60))
    with Load(wine) as load:
        configure(wine, "wine", "wine", ("stable", {"entity_stage": "Production"}, 75), ("canary", {"entity_version": "2"}, 25))
        wait_until(lambda: any(r.version == "2" for r in load.replies), 60, "the canary answers")
        wait_until(lambda: sum(r.version == "2" for r in load.replies) > 20, 60, "its share")
    load.check()
    assert {(r.version, r.arm) for r in load.replies if r.arm in ("stable", "canary")} == {("1", "stable"), ("2", "canary")}
