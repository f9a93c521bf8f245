"""R39 for real: the file system of the artifact store is frozen, so that every write to it hangs in the kernel, while two servers are under load. One has room
for what waits, and loses nothing; one has hardly any, and counts what it drops. Nobody who asks for a prediction notices."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
import requests
from conftest import Server, wait_until
from lifecycle import BODY, JSON, Load, add_version, files, move, serves

STALL = 20  # seconds; spools end after 10
SMALL = 1 << 20  # bytes of records that the second server may keep


class Disk:
    """A file system of its own, which freeze stops and thaw lets go on."""

    def __init__(self, folder):
        self.at = folder / "store"
        self.at.mkdir()
        with open(folder / "image", "wb") as image:
            image.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(folder / "image")], check=True)
        subprocess.run(["mount", "-o", "loop", str(folder / "image"), str(self.at)], check=True)
        self.frozen = False

    def freeze(self):
        # It thaws by itself after a while: whoever writes to it can be ended by nothing else.
        guard = 'fsfreeze --freeze "$0" && echo frozen && sleep 90 && fsfreeze --unfreeze "$0" 2> /dev/null'
        self.guard = subprocess.Popen(["sh", "-c", guard, str(self.at)], stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert self.guard.stdout.readline() == "frozen\n"
        self.frozen = True

    def thaw(self):
        if self.frozen:
            subprocess.run(["fsfreeze", "--unfreeze", str(self.at)], check=True)
            self.frozen = False
            os.killpg(self.guard.pid, signal.SIGKILL)
            self.guard.wait()

    def close(self):
        self.thaw()
        subprocess.run(["umount", "-l", str(self.at)], check=True)


@pytest.fixture
def disk(tmp_path):
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        pytest.skip("a disk that stalls is a file system of its own, which needs root")
    d = Disk(tmp_path)
    yield d
    d.close()


def start(tmp_path, disk, name, *args):
    server = Server(tmp_path / name, "--artifacts-destination", str(disk.at / name), "--serving-metrics-interval", "1s", "--shutdown-grace", "3s", *args).start()
    add_version(server, "wine", files("v1"))
    move(server, "wine", "1")
    serves(server, "1")
    return server


def counted(server, metric, labels=""):
    """The sum of a metric's samples whose labels contain the text."""
    lines = server.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if re.match(rf"{metric}[ {{]", line) and labels in line)


def records(server, state):
    return counted(server, "sluice_predlog_records_total", f'state="{state}"')


def resources(server):
    """(bytes resident, threads)"""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) << 10, int(re.search(r"Threads:\s+(\d+)", status)[1])


def accounts(server):
    """Whether all that was offered is delivered or counted as dropped."""
    offered, dropped = records(server, "offered"), counted(server, "sluice_predlog_drops_total")
    return offered == records(server, "delivered") + dropped and (offered, dropped)


def ends_while_it_stalls(server, disk):
    """SIGTERM meanwhile: the server does not wait for the store longer than it may, and the next one delivers what was left. The kernel keeps the
    process that hangs in it until the store is there again."""
    disk.freeze()
    sent = [server.post("/endpoints/wine/invocations", data=BODY, headers=JSON).headers["X-Sluice-Prediction-Id"] for _ in range(20)]
    wait_until(lambda: counted(server, "sluice_predlog_segments") > 0, what="a segment that waits")
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: any("the disk or the sink does not answer" in line for line in server.out), 30, "the server's end")
    disk.thaw()
    assert server.process.wait(60) == 1  # something could not be closed, nothing is lost
    server.start()
    wait_until(lambda: records(server, "delivered") >= len(sent), what="what was left")
    found = server.get("/api/2.0/sluice/predictions", params={"limit": 1000, "order": "newest"}).json()["predictions"]
    assert set(sent) <= {p["databricks_request_id"] for p in found}


def test_a_store_that_stalls(tmp_path, disk):
    roomy, tight = servers = start(tmp_path, disk, "roomy"), start(tmp_path, disk, "tight", "--prediction-log-max-bytes", str(SMALL))
    with contextlib.ExitStack() as ends:
        for s in servers:
            ends.callback(s.kill)
        loads = [ends.enter_context(Load(s, clients=2)) for s in servers]
        ends.callback(disk.thaw)  # before anybody is waited for
        wait_until(lambda: all(records(s, "delivered") > 0 for s in servers), what="records in tracking")
        before = [resources(s) for s in servers]
        disk.freeze()
        began = time.monotonic()
        late = threading.Thread(target=lambda: requests.put(f"{roomy.url}/api/2.0/mlflow-artifacts/artifacts/0/x/artifacts/late", data=b"x", timeout=90).raise_for_status(), daemon=True)
        late.start()
        while time.monotonic() < began + STALL:
            run = requests.post(roomy.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, timeout=10)
            assert run.ok, run.text  # what is not in the store goes on, too
            assert counted(tight, "sluice_predlog_disk_bytes") < 1.5 * SMALL
            for _ in range(4):  # refused ones are logged, too: these do not compress
                assert tight.post("/endpoints/wine/invocations", data=os.urandom(30 << 10).hex(), headers=JSON).status_code == 400
            time.sleep(1)
        for s, (memory, threads) in zip(servers, before):
            now = resources(s)
            assert now[0] < memory + (64 << 20) and now[1] < threads + 16, (memory, threads, now)
            assert counted(s, "sluice_predlog_segments") > 0
        assert counted(tight, "sluice_predlog_drops_total", 'reason="disk_full"') > 0
        assert late.is_alive()
        disk.thaw()
        thawed = time.monotonic()
        late.join(60)
        assert not late.is_alive()
        for load in loads:
            load.stop()
            load.check()
            # a request that waited for the store would have waited until it was there again
            assert all(r.got - r.sent < STALL / 2 for r in load.replies)
            inside = [r.got - began for r in load.replies if began < r.got < thawed]
            assert {int(at * 4 / STALL) for at in inside} >= {0, 1, 2, 3}
        for s in servers:
            offered, dropped = wait_until(lambda: accounts(s), 60, "everything to be accounted for")
            assert (dropped > 0) == (s is tight), (offered, dropped)
        lost = counted(tight, "sluice_predlog_drops_total")
        tight.post("/endpoints/wine/invocations", data=BODY, headers=JSON)
        wait_until(lambda: accounts(tight), 60, "the record after it")
        assert counted(tight, "sluice_predlog_drops_total") == lost
        ends_while_it_stalls(roomy, disk)
