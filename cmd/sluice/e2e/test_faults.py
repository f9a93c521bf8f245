"""What stands behind the server fails: predictions go on, the control API says so in MLflow's shape, and everything heals by itself."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import time

import pytest
import requests
from conftest import Server, wait_until, wine_rows
from lifecycle import BODY, JSON, Load, add_version, files, heavy_files, move, serves

RUN = {"experiment_id": "0", "run_name": "r"}


def create_run(server, timeout=60):
    return requests.post(server.url + "/api/2.0/mlflow/runs/create", json=RUN, timeout=timeout)


def shaped(answer):
    """Whether an error is one that MLflow's client understands, and gives nothing away."""
    said = answer.json()
    return 400 <= answer.status_code < 600 and said["error_code"] and said["message"] and "sqlite" not in said["message"].lower()


def drops(server):
    lines = server.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("sluice_predlog_drops_total{"))


@pytest.fixture
def wine(server):
    add_version(server, "wine", files("v1"))
    add_version(server, "wine", files("v2"))
    move(server, "wine", "1")
    serves(server, "1")
    return server


def test_a_locked_database(wine):
    """Somebody else holds SQLite's write lock: predictions do not notice, reads go on, writes wait and go through."""
    other = sqlite3.connect(wine.data_dir / "sluice.db", isolation_level=None)
    with contextlib.closing(other), Load(wine) as load:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        before = len(load.replies)
        with pytest.raises(requests.Timeout):
            create_run(wine, timeout=0.5)
        assert wine.get("/api/2.0/mlflow/experiments/get?experiment_id=0").ok
        wait_until(lambda: len(load.replies) > before + 100, what="predictions meanwhile")
        other.execute("ROLLBACK")
        assert create_run(wine).ok and time.monotonic() - started < 30
    load.check()


def test_a_database_that_vanished(wine):
    """The files are deleted under the server: the last table keeps serving, and nothing invents an empty database."""
    with Load(wine) as load:
        for suffix in ("", "-wal", "-shm"):
            (wine.data_dir / f"sluice.db{suffix}").unlink(missing_ok=True)
        # The loop reads the desired state every five seconds: past two of them.
        ends = time.monotonic() + 11
        while time.monotonic() < ends:
            answer = create_run(wine)
            assert answer.ok or shaped(answer), answer.text
            for answer in [wine.get("/api/2.0/serving-endpoints"), wine.get("/api/2.0/mlflow/registered-models/search")]:
                assert answer.ok or shaped(answer), answer.text
            time.sleep(0.2)
    load.check()
    assert wine.get("/health").ok


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MiB. Only root can make one."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a full disk is made with a tmpfs, which needs root")
    where = tmp_path / "disk"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(where)], check=True)
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


def fill(where):
    """Takes all that is left of a file system; returns the file that did."""
    ballast = where / "ballast"
    with open(ballast, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while f.write(b"x" * 4096):
            pass
    return ballast


def test_a_full_disk(small_disk):
    server = Server(small_disk / "data").start()
    try:
        add_version(server, "wine", files("v1"))
        move(server, "wine", "1")
        serves(server, "1")
        with Load(server) as load:
            ballast = fill(small_disk)
            wait_until(lambda: drops(server) > 0, what="counted drops")
            wait_until(lambda: not create_run(server).ok, what="a write that fails")
            refused = create_run(server)
            assert refused.ok or shaped(refused), refused.text
            upload = requests.put(server.url + "/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/big", data=b"x" * 2**20, timeout=30)
            assert shaped(upload), upload.text
            assert server.get("/health").ok
            ballast.unlink()
            wait_until(lambda: create_run(server).ok, what="the disk to be noticed again")
            seen = len(load.replies)
            wait_until(lambda: len(load.replies) > seen + 50, what="more predictions")
        load.check()
        lost = drops(server)
        assert server.stop() == 3, server.out[-5:]  # it lost records, and says so
        assert lost > 0
    finally:
        server.stop()


def test_a_read_only_data_directory(small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(RuntimeError, match="read-only file system"):
        Server(small_disk / "data").start()


def test_a_deadline_holds_while_a_model_executes(server):
    add_version(server, "heavy", heavy_files(1, layers=80))  # many steps: ONNX Runtime looks up between them
    move(server, "heavy", "1")
    large = json.dumps({"dataframe_split": {"columns": wine_rows(1)["columns"], "data": wine_rows(178)["data"] * 5}}).encode()
    url = "/endpoints/heavy/invocations"
    wait_until(lambda: server.post(url, data=BODY, headers=JSON).ok, what="heavy answers")
    start = time.monotonic()
    assert server.post(url, data=large, headers=JSON).ok
    whole = time.monotonic() - start
    start = time.monotonic()
    late = server.post(url, data=large, headers={**JSON, "X-Sluice-Timeout-Ms": str(max(int(whole * 1000 / 5), 1))})
    took = time.monotonic() - start
    assert late.status_code == 504 and late.json()["error_code"] == "DEADLINE_EXCEEDED", late.text
    assert took < 0.8 * whole, (took, whole)
    for wrong in ("-1", "soon", "0"):
        refused = server.post(url, data=BODY, headers={**JSON, "X-Sluice-Timeout-Ms": wrong})
        assert refused.status_code == 400 and shaped(refused), (wrong, refused.text)
    assert server.post(url, data=BODY, headers=JSON).ok
