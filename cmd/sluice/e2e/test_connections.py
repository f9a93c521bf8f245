"""Connections that cost a server more than their callers: those who leave before their answer, and many thousands that say nothing."""

import contextlib
import json
import os
import resource
import socket
import time
import urllib.parse

import pytest
import tritonclient.grpc as triton
from conftest import Server, wait_until, wine_rows
from grape import tensors
from lifecycle import BODY, Load, add_version, busy_files, files, move, serves
from test_grpc import start

CALLERS = 1000  # that leave by HTTP
CANCELLED = 400  # calls by gRPC
SILENT = 10_000  # sockets, on a machine that lets a process have so many


@pytest.fixture
def silent():
    """How many sockets one process may hold open on this machine, SILENT at the most; this process may from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SILENT + 1000 if hard == resource.RLIM_INFINITY else min(SILENT + 1000, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield wanted - 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def serving(tmp_path, package, *args):
    server, grpc_address = start(tmp_path / "data", "--log-level", "warn", *args)
    try:
        add_version(server, "wine", package)
        move(server, "wine", "1")
        serves(server, "1")
        yield server, grpc_address
    finally:
        server.stop()


def connect(server):
    where = urllib.parse.urlsplit(server.url)
    return socket.create_connection((where.hostname, where.port), timeout=60)


def measured(server, name, **labels):
    """The sum of a metric's series that have the labels."""
    total = 0
    for line in server.get("/metrics").text.splitlines():
        if line.startswith((name + "{", name + " ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rpartition(" ")[2])
    return total


def resident(server):
    """Bytes of memory that the server holds."""
    with open(f"/proc/{server.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


ROWS = 25  # of a request whose execution takes about 100 ms of processor time


class Fates:
    """What becomes of a server's requests from now on."""

    def __init__(self, server):
        self.server = server
        self.before = self.counts()

    def counts(self):
        executed = measured(self.server, "sluice_request_executed_rows_total") / ROWS
        return executed, measured(self.server, "sluice_request_duration_seconds_count", code="499")

    def check(self, callers):
        def over():
            executed, cancelled = (now - before for now, before in zip(self.counts(), self.before))
            return executed + cancelled >= callers and (executed, cancelled)

        executed, cancelled = wait_until(over, 60, "an end to every request")
        assert executed < callers / 4 and cancelled > callers / 2, (executed, cancelled)
        serves(self.server, "1")


def test_what_nobody_waits_for_is_not_executed(tmp_path, silent):
    """R12: callers whose requests wait for the model leave, a thousand by HTTP and some by gRPC; hardly any of these requests is executed."""
    body = json.dumps({"dataframe_split": wine_rows(ROWS)}).encode()
    request = b"POST /endpoints/wine/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n" % len(body) + body
    with serving(tmp_path, busy_files(), "--max-queue-delay=0") as (server, address):
        fates = Fates(server)
        callers = [connect(server) for _ in range(CALLERS)]
        for c in callers:
            c.sendall(request)
        for c in callers:
            c.close()
        fates.check(CALLERS)

        fates = Fates(server)
        with triton.InferenceServerClient(address) as client:
            calls = [client.async_infer("wine", tensors(triton, ROWS), lambda result, error: None) for _ in range(CANCELLED)]
            waits = lambda: measured(server, "sluice_requests_in_flight") > 50
            wait_until(waits, 30, "requests that wait")
            for c in calls:
                c.cancel()
            fates.check(len(calls))


def test_ten_thousand_silent_sockets(tmp_path, silent):
    """R14: they cost the others nothing and the server little memory, and it is rid of them when they are closed."""
    with serving(tmp_path, files("v1")) as (server, _):
        head = b"POST /endpoints/wine/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        before, sockets = resident(server), []
        try:
            with Load(server) as load:
                for i in range(silent):
                    s = connect(server)
                    sockets.append(s)
                    if i % 4 == 0:
                        s.sendall(head)  # without its end
                asked = len(load.replies)
                wait_until(lambda: len(load.replies) > asked + 200, 60, "answers meanwhile")
                late = connect(server)
                late.sendall(head.replace(b"100", b"%d" % len(BODY)) + b"Content-Type: application/json\r\n\r\n" + BODY)
                assert late.recv(100).startswith(b"HTTP/1.1 200 "), "a newcomer"
                late.close()
            load.check()
            assert server.get("/ready").status_code == 200
            each = (resident(server) - before) / silent
            assert each < 64 << 10, f"{each} bytes for each"
        finally:
            for s in sockets:
                s.close()
        assert server.stop() == 0


def test_more_sockets_than_descriptors(tmp_path, silent):
    """R14: silent sockets beyond what the system lets the server have make room for newcomers; those who ask are answered all the while."""
    bound = 4096
    server = Server(tmp_path / "data", "--log-level", "warn", descriptors=bound).start()
    sockets = []
    try:
        add_version(server, "wine", files("v1"))
        move(server, "wine", "1")
        serves(server, "1")
        with Load(server) as load:
            for _ in range(silent):
                sockets.append(connect(server))
            asked = len(load.replies)
            wait_until(lambda: len(load.replies) > asked + 200, 60, "answers meanwhile")
            for _ in range(20):
                serves(server, "1")  # over a connection of its own
        load.check()
        open_now = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        assert bound / 2 < open_now < bound * 7 / 8, open_now
        assert any("too many connections" in line for line in server.out)
    finally:
        for s in sockets:
            s.close()
        code = server.stop()
    assert code == 0
