"""The server leaves as an operator expects: requests are answered, nothing hangs, and the exit code tells if records were lost."""

import json
import signal
import socket
import subprocess
import time
import urllib.parse

import pytest
import requests
from conftest import BINARY, Server, wait_until, wine_rows
from lifecycle import BODY, JSON, Load, add_version, files, heavy_files, move, serves
from predictions import logged_ids

GRACE = 20  # --shutdown-grace, seconds


@pytest.fixture
def wine(server):
    add_version(server, "wine", files("v1"))
    move(server, "wine", "1")
    serves(server, "1")
    return server


def terminate(server):
    """Ends the server; returns the exit code and the seconds that it took."""
    start = time.monotonic()
    code = server.stop()
    return code, time.monotonic() - start


def test_sigterm_under_load_breaks_no_request(wine):
    for _ in range(3):
        with Load(wine, clients=6, pause=0) as load:
            wait_until(lambda: len(load.replies) > 300, what="some load")
            code, took = terminate(wine)
        assert code == 0, wine.out[-5:]
        assert took < GRACE
        load.check()
        wine.start().ready()
    time_out = time.monotonic() + 30
    wine.stop()
    ids = logged_ids(wine)
    assert len(ids) == len(set(ids)) and time.monotonic() < time_out
    assert len(ids) >= len(load.replies)


def test_not_ready_before_it_stops_to_answer(wine):
    with requests.Session() as session:
        session.get(wine.url + "/health")  # a connection that stays
        wine.process.send_signal(signal.SIGTERM)
        answers = []
        while wine.process.poll() is None:
            try:
                answers.append(requests.get(wine.url + "/ready", timeout=5).status_code)
            except requests.ConnectionError:
                break
        assert wine.stop() == 0
    assert 503 in answers and answers == sorted(answers), answers


def half_request(server, body):
    """A connection over which a request arrives but for the end of its body."""
    where = urllib.parse.urlsplit(server.url)
    connection = socket.create_connection((where.hostname, where.port))
    head = f"POST /endpoints/wine/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body) + 10}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_half_a_body_and_idle_connections_do_not_hold_it_up(wine):
    sessions = [requests.Session() for _ in range(10)]
    for s in sessions:
        assert s.post(wine.url + "/invocations", data=BODY, headers=JSON).ok
    halves = [half_request(wine, b), half_request(wine, b"")] if (b := BODY) else []
    where = urllib.parse.urlsplit(wine.url)
    halves.append(socket.create_connection((where.hostname, where.port)))  # never says a word
    code, took = terminate(wine)
    assert code == 0 and took < GRACE, (code, took, wine.out[-5:])
    halves[0].settimeout(5)
    told = halves[0].recv(4096).decode()
    assert told.startswith("HTTP/1.1 408 ") and "error_code" in told, told
    for s in sessions:
        s.close()
    for h in halves:
        h.close()


def test_sigterm_while_a_version_loads(wine):
    add_version(wine, "wine", heavy_files(60))
    move(wine, "wine", "2")
    # The load has begun, or begins now; on a quick machine it may be over: none of these may matter.
    code, took = terminate(wine)
    assert code == 0 and took < GRACE, (code, took, wine.out[-5:])
    wine.start().ready()
    serves(wine, "2")


def test_the_exit_code_tells_of_lost_records(tmp_path):
    server = Server(tmp_path / "data", "--prediction-log-max-bytes", str(1 << 20)).start()
    try:
        add_version(server, "wine", files("v1"))
        move(server, "wine", "1")
        serves(server, "1")
        large = json.dumps({"dataframe_split": wine_rows(178)}).encode()

        def dropped():
            assert server.post("/invocations", data=large, headers=JSON).status_code == 200  # the log does not hold anybody up
            return any(l.startswith("sluice_predlog_drops_total{") and float(l.split()[-1]) > 0 for l in server.get("/metrics").text.splitlines())

        wait_until(dropped, what="a dropped record")
        assert server.stop() == 3
        assert any("prediction records were lost" in line for line in server.out), server.out[-3:]
    finally:
        server.stop()


def test_one_server_to_a_data_directory(server):
    command = [str(BINARY), "serve", "--data-dir", str(server.data_dir), "--port", "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1 and "in use by another server" in second.stderr, second.stderr
    assert str(server.process.pid) in second.stderr
    assert server.get("/health").ok
