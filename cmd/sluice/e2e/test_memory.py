"""What the server holds: little when idle, no more after much work, nothing of versions that it let go."""

import os

from conftest import BINARY, wait_until
from lifecycle import Load, add_version, configure, files, move, serves

IDLE_MIB, BUSY_MIB = 50, 150


def resident(server):
    """Resident memory in MiB."""
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def test_the_binary_holds_no_templates():
    """With them the linker keeps every method of every type: 13 MB, all of them resident."""
    assert b"text/template.(*state).evalField" not in BINARY.read_bytes(), "built without -tags grpcnotrace, or something calls a template: make build"


def test_idle_and_after_many_predictions(server):
    assert resident(server) < IDLE_MIB
    add_version(server, "wine", files("v1"))
    add_version(server, "wine", files("v2"))
    move(server, "wine", "1")
    serves(server, "1")
    configure(server, "wine", "wine", ("a", {"entity_version": "1"}, 50), ("b", {"entity_version": "2"}, 50))
    with Load(server, clients=4, pause=0) as load:
        wait_until(lambda: len(load.replies) > 15_000, seconds=120, what="15,000 predictions")
    load.check()
    assert resident(server) < BUSY_MIB


def test_versions_that_come_and_go_leave_nothing(server):
    """Each move loads a version and unloads one that left more than two seconds ago."""
    versions = [add_version(server, "wine", files("v1" if i % 2 else "v2")) for i in range(40)]

    def cycle():
        for version in versions:
            move(server, "wine", version)
            serves(server, version)

    cycle()
    cycle()
    memory, files_open = resident(server), descriptors(server)
    for _ in range(3):
        cycle()
    # 120 loads: what each left behind would be above 80 KiB to be seen here; a loaded example is several hundred.
    assert resident(server) < memory + 10, (memory, resident(server))
    wait_until(lambda: descriptors(server) <= files_open + 3, what="file descriptors as before")
