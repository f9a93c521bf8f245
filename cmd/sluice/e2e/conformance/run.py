"""Runs MLflow's own tests against a stock server and against ours, and compares.

    python run.py --source CHECKOUT --binary bin/sluice --python VENV/bin/python [--stock-python OTHER/bin/python]
        [--newer-python NEWER/bin/python] [--out FOLDER] [--only SUITE,…] [--server stock|sluice|newer]

CHECKOUT is a checkout of MLflow (only its tests are read; MLflow itself is what VENV has installed). Results stay in
FOLDER, one file a suite and server: with --server only that one is run and the others' earlier results are compared.
A test that passes on the stock server and not here is also run on a stock server of NEWER's MLflow: where that one fails it
as well, MLflow has changed its rules since, and ours follows the newer.
Ends with 1 if a difference stands on no line of expected.txt or, without what MLflow has changed, fewer than 95 % pass.
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from typing import NamedTuple

from suites import SUITES

HERE = pathlib.Path(__file__).resolve().parent
GOAL = 95.0  # percent


class Rule(NamedTuple):
    kind: str
    pattern: re.Pattern
    reason: str


def read_rules(path):
    rules = []
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            kind, pattern, reason = line.split(maxsplit=2)
            rules.append(Rule(kind, re.compile(pattern), reason))
    return rules


def run_suite(suite, server, options, left_out):
    """Runs one suite, on the newer stock server only its differences, and writes OUT/server.suite.{tsv,txt,log}."""
    result = options.out / f"{server}.{suite.name}.tsv"
    result.unlink(missing_ok=True)
    result.touch()
    tests = [p for p in suite.paths if (options.tree / p).exists()]
    if server == "newer":
        _, tests = compare(suite, options.out, left_out)
        if not tests:
            return
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "PATH": f"{options.python.parent}{os.pathsep}{os.environ['PATH']}",
        "CONFORMANCE_SERVER": "sluice" if server == "sluice" else "stock",
        "CONFORMANCE_SWAP": suite.swap,
        "CONFORMANCE_KEEP": ",".join(suite.keep),
        "CONFORMANCE_BINARY": str(options.binary),
        "CONFORMANCE_STOCK_PYTHON": str(options.newer_python if server == "newer" else options.stock_python or options.python),
        "CONFORMANCE_RESULT": str(result),
        "CONFORMANCE_LEAVE_OUT": "|".join(f"(?:{r.pattern.pattern})" for r in left_out),
        "CONFORMANCE_LOG": str(options.out / f"{server}.{suite.name}.log"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes more a server, and no test here has a job
    }
    if server == "newer":  # most of these fail, with the client asking for minutes again whatever answers 500
        environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    command = [options.python, "-W", "ignore", "-m", "pytest", "-p", "plugin", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=short", "-o", "addopts=-p no:legacypath --strict-markers"]
    command += ["-o", "console_output_style=classic", "-o", "asyncio_mode=auto", "--timeout", "600", *(("-k", suite.only) if suite.only else ()), *tests]
    with open(options.out / f"{server}.{suite.name}.txt", "wb") as output, tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        environment["TMPDIR"] = scratch
        session = subprocess.Popen(command, cwd=options.tree, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            session.wait()
        finally:  # servers that a test left behind end with the session
            with contextlib.suppress(ProcessLookupError):
                os.killpg(session.pid, signal.SIGKILL)


def read_results(path):
    """Returns {node id: (outcome, requests)} of a finished suite."""
    rows = (line.split("\t", 2) for line in path.read_text().splitlines()) if path.exists() else ()
    return {node: (outcome, int(count)) for outcome, count, node in rows}


def compare(suite, out, left_out):
    """Returns the ids of tests that pass on stock and talk to a server, and those of them that don't pass here."""
    stock, ours = (read_results(out / f"{server}.{suite.name}.tsv") for server in ("stock", "sluice"))
    passing = sorted(n for n, (outcome, requests) in stock.items() if outcome == "passed" and requests > 0)
    counted = [n for n in passing if not any(r.pattern.search(n) for r in left_out)]
    return counted, [n for n in counted if ours.get(n, ("missing", 0))[0] != "passed"]


def changed(suite, out):
    """Returns the ids of tests that the newer stock server doesn't pass either."""
    return {n for n, (outcome, _) in read_results(out / f"newer.{suite.name}.tsv").items() if outcome != "passed"}


def version_of(python):
    """Returns the MLflow of a Python as "3.12"."""
    version = subprocess.check_output([python, "-c", "import importlib.metadata as m; print(m.version('mlflow'))"], text=True)
    return ".".join(version.split(".")[:2])


def report(suites, options, rules):
    """Prints the table and every difference with its reason; returns whether all is as it should be."""
    stock, newer = version_of(options.stock_python or options.python), options.newer_python and version_of(options.newer_python)
    print(f"{'suite':<20}{'on ' + stock:>9}{'here too':>9}{'percent':>9}" + (f"{'by the rules of ' + newer:>24}{'percent':>9}" if newer else ""))
    total, differences, left_out = Counts(0, 0, 0), [], [r for r in rules if r.kind == "left-out"]
    for suite in suites:
        counted, failing = compare(suite, options.out, left_out)
        since = changed(suite, options.out) if newer else set()
        counts = Counts(len(counted), len(failing), len(since.intersection(failing)))
        total = Counts(*map(sum, zip(total, counts)))
        differences += [(node, node in since) for node in failing]
        print(row(suite.name, counts, newer))
    print(row("all", total, newer))
    unexplained = 0
    for node, since in differences:
        kinds = {"differs"} if newer and not since else {"differs", f"differs-{stock}"}
        reason = next((r.reason for r in rules if r.kind in kinds and r.pattern.search(node)), None)
        unexplained += reason is None
        print(f"  {node}{f' (fails on {newer} as well)' if since else ''}\n      {reason or 'NOT EXPECTED'}")
    agreed = total.passing - total.changed
    return unexplained == 0 and agreed > 0 and 100 * (total.passing - total.failing) >= GOAL * agreed


class Counts(NamedTuple):
    """Tests that pass on the stock server, those of them that fail here, and those of these that fail on the newer one as well."""

    passing: int
    failing: int
    changed: int


def row(name, counts, newer):
    both, agreed = counts.passing - counts.failing, counts.passing - counts.changed
    line = f"{name:<20}{counts.passing:>9}{both:>9}{percent(both, counts.passing):>9}"
    return line + (f"{agreed:>24}{percent(both, agreed):>9}" if newer else "")


def percent(part, whole):
    return f"{100 * part / whole:.1f}" if whole else "-"


def warn_of_names():
    try:
        socket.getaddrinfo("example.com", 443)
    except OSError:
        print("example.com does not resolve here: most tests of webhooks fail on both servers", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--python", type=pathlib.Path, required=True)
    parser.add_argument("--stock-python", type=pathlib.Path, help="a Python with another MLflow, the stock server's; default --python")
    parser.add_argument("--newer-python", type=pathlib.Path, help="a Python with a newer MLflow, on whose stock server the differences are tried")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("conformance-results"))
    parser.add_argument("--only", default="")
    parser.add_argument("--server", choices=("stock", "sluice", "newer"))
    parser.add_argument("--report", action="store_true", help="run nothing, compare the results that are there")
    options = parser.parse_args()
    if not (options.source / "tests" / "tracking").is_dir():
        sys.exit(f"{options.source} is no checkout of MLflow: it has no tests/tracking")
    options.binary, options.out, options.python = options.binary.resolve(), options.out.resolve(), options.python.absolute()
    options.stock_python = options.stock_python and options.stock_python.absolute()
    options.newer_python = options.newer_python and options.newer_python.absolute()
    options.out.mkdir(parents=True, exist_ok=True)
    warn_of_names()
    rules = read_rules(HERE / "expected.txt")
    suites = [s for s in SUITES if not options.only or s.name in options.only.split(",")]
    if options.newer_python:  # what an older MLflow's SQL store still writes itself doesn't fit into the newest schema
        suites = [s for s in suites if not s.keep]
    with tempfile.TemporaryDirectory(prefix="conformance-tree-") as tree:
        if not options.report:  # without the checkout's own mlflow, which would hide the installed one
            options.tree = pathlib.Path(tree)
            shutil.copytree(options.source / "tests", options.tree / "tests")
            shutil.copy(options.source / "pyproject.toml", tree)
            for suite in suites:
                for server in [options.server] if options.server else ["stock", "sluice", *(["newer"] if options.newer_python else [])]:
                    run_suite(suite, server, options, [r for r in rules if r.kind == "left-out"])
    sys.exit(0 if report(suites, options, rules) else 1)


if __name__ == "__main__":
    main()
