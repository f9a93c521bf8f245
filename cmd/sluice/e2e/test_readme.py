"""The tour in the README, block by block, against a fresh `sluice serve --demo`; `…` in the shown output stands for anything."""

import re
import subprocess
import sys

import pytest
from conftest import ROOT, Server, own_environ


def tour():
    """Yields (title, language, code, shown output) for each step."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("## Five minutes") : text.index("## What answers where")]
    steps = re.findall(r"\*\*(\d\. [^*]+)\*\*.*?```(sh|python)\n(.*?)```\n```\n(.*?)```", section, re.S)
    assert len(steps) == section.count("\n**"), "a step of the tour has no code with output"
    return steps


def matches(shown, printed):
    pattern = ".*?".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, printed.replace("\r", "").strip(), re.S)


def test_tour(tmp_path):
    s = Server(tmp_path / "data", "--demo").start()
    try:
        s.ready()
        for title, language, code, shown in tour():
            code = code.replace("http://127.0.0.1:5000", s.url)
            command = [sys.executable, "-W", "ignore", "-c", code] if language == "python" else ["bash", "-euc", code]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT, env=own_environ())
            printed = "\n".join(line for line in done.stdout.splitlines() if not re.search(r"View (run|experiment)|🏃|🧪", line))
            assert done.returncode == 0, f"{title}\n{done.stdout}\n{done.stderr}"
            assert matches(shown, printed), f"{title}\nshown:\n{shown}\nprinted:\n{printed}\n{done.stderr[-2000:]}"
    finally:
        s.stop()


@pytest.mark.parametrize("target", ["help", "setup", "build", "run", "test", "race", "lint", "fuzz", "bench"])
def test_make_help_lists(target):
    out = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert re.search(rf"^  {target}\s+\S", out, re.M)
