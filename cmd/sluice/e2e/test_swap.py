"""Stage moves under load: nobody fails, each move is seen, and after it nobody meets the version before."""

import json
import subprocess
import time

from conftest import BINARY, Server
from lifecycle import Load, add_version, files, move, version_of, wait_until

MOVES, SECONDS, VERSIONS = 200, 20, 10  # versions: so many that each was unloaded before its turn comes again


def test_two_hundred_moves_under_load(tmp_path):
    s = Server(tmp_path / "data", "--log-level", "warn").start()
    try:
        versions = [add_version(s, "wine", files("v1" if i % 2 else "v2")) for i in range(VERSIONS)]
        move(s, "wine", versions[0])
        wait_until(lambda: version_of(s) == versions[0], what="the first version")
        report = tmp_path / "report.json"
        url = s.url + "/endpoints/wine/invocations"
        tool = subprocess.Popen(
            [str(BINARY), "loadtest", url, "--rate", "200", "--duration", f"{SECONDS}s", "--connections", "16", "--json", str(report)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        order = []  # (version, ordered, seen)
        with Load(s, clients=2, pause=0.01) as load:
            began = time.monotonic()
            for i in range(1, MOVES + 1):
                time.sleep(max(0, began + i * SECONDS / MOVES - time.monotonic()))
                version, ordered = versions[i % VERSIONS], time.monotonic()
                move(s, "wine", version)
                wait_until(lambda version=version: version_of(s) == version, what=f"move {i}")
                order.append((version, ordered, time.monotonic()))
            after = len(load.replies)
            wait_until(lambda: len(load.replies) > after + 20, what="answers after the last move")
        text, _ = tool.communicate(timeout=60)
        assert tool.returncode == 0, text
        load.check()
        got = json.loads(report.read_text())
        assert got["failed"] == 0 and set(got["by_status"]) == {"200"}, got
        assert got["answered"] > 100 * SECONDS, got

        ends = [ordered for _, ordered, _ in order[1:]] + [float("inf")]
        for (version, _, seen), end in zip(order, ends):
            strays = {r.version for r in load.replies if r.sent > seen and r.got < end} - {version}
            assert not strays, (version, strays)
        assert {r.version for r in load.replies} == set(versions)
    finally:
        s.stop()
