"""Servers that MLflow's own tests talk to: ours or a stock one, each over the database that a test prepared.

Both run in a process of their own, so a test that reaches into the Python of an in-process server fails on either.
`start` answers a Server with its address; whoever starts one closes it.
"""

import atexit
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

MODE = os.environ.get("CONFORMANCE_SERVER", "stock")  # "stock" or "sluice"
BINARY = os.environ.get("CONFORMANCE_BINARY", "sluice")
STOCK_PYTHON = os.environ.get("CONFORMANCE_STOCK_PYTHON") or sys.executable  # whose MLflow the stock server is
LOG = os.environ.get("CONFORMANCE_LOG", os.devnull)
HERE = pathlib.Path(__file__).resolve().parent
Popen = subprocess.Popen  # as it was before the plugin translates commands


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sluice_command(options):
    """Returns the command and the settings of our server for `mlflow server`'s options (a dict without dashes).

    Options about MLflow's own worker processes mean nothing here; one that isn't known is an error of the server.
    """
    ours = {k: v for k, v in options.items() if k not in ("workers", "w", "gunicorn-opts", "uvicorn-opts", "serve-artifacts", "dev")}
    command = [BINARY, "serve", "--data-dir", tempfile.mkdtemp(prefix="conformance-"), "--prediction-log=false", "--log-level", "warn"]
    command += ["--artifact-folders", tempfile.gettempdir()]
    for name, value in ours.items():
        command += [f"--{name}"] if value is None else [f"--{name}", value]
    return command


def sluice_environment(environment):
    """Returns environment with MLflow's own settings of webhooks and of models' sources as ours; ours of the shell don't leak in."""
    kept = {k: v for k, v in environment.items() if v is not None and not k.startswith("SLUICE_")}
    if schemes := kept.get("MLFLOW_WEBHOOK_ALLOWED_SCHEMES"):
        kept["SLUICE_WEBHOOK_ALLOWED_SCHEMES"] = schemes
    if kept.get("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "").lower() in ("true", "1"):
        kept["SLUICE_WEBHOOK_ALLOW_PRIVATE"] = "true"
    if pattern := kept.get("MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"):
        kept["SLUICE_MODEL_VERSION_SOURCE_REGEX"] = pattern
    return kept


def wait_for(url, process, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}; its output is in {LOG}")
        try:
            with urllib.request.urlopen(url + "/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise RuntimeError(f"the server at {url} was not ready after {seconds} s; its output is in {LOG}")


class Schema:
    """The newest schema of MLflow's, which an older MLflow's test process can't make; ours needs it for traces."""

    _newest = None  # path of an empty database
    # Tests that look into the server's database themselves keep the schema that they made, on which ours works but for traces.
    KEPT = re.compile(
        r"_experiment_cli\[|test_(add_multiple_experiments_at_once|idempotent_(add|remove)_experiments)_rest_tracking"
        r"|test_mlflow_artifacts\.py::"
    )

    @classmethod
    def renew(cls, backend):
        """Returns the URI of a database like this SQLite one, with the newest schema, if it holds nothing yet.

        Where the test keeps a SQL store on it, it is changed in place; else the server gets one of its own.
        """
        path = backend.removeprefix("sqlite:///")
        if path == backend or not os.path.exists(path) or cls.KEPT.search(os.environ.get("PYTEST_CURRENT_TEST", "")):
            return backend
        if os.environ.get("CONFORMANCE_SWAP") != "store":
            path = shutil.copy(path, os.path.join(tempfile.mkdtemp(prefix="conformance-"), "mlflow.db"))
        return "sqlite:///" + path if cls._renew(path) else backend

    @classmethod
    def _renew(cls, path):
        with contextlib.closing(sqlite3.connect(path)) as old:
            tables = {name for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables or any(old.execute(f"SELECT 1 FROM {t} LIMIT 1").fetchone() for t in ("runs", "registered_models", "trace_info")):
                return False
            kept = old.execute("SELECT experiment_id, artifact_location FROM experiments").fetchall()
            with contextlib.closing(sqlite3.connect(cls._template())) as new:
                revision = "SELECT version_num FROM alembic_version"
                if len(kept) > 1 or old.execute(revision).fetchone() == new.execute(revision).fetchone():
                    return False
                new.backup(old)
            old.executemany("UPDATE experiments SET artifact_location = ?2 WHERE experiment_id = ?1", kept)
            old.commit()
        return True

    @classmethod
    def _template(cls):
        if cls._newest is None:
            path = os.path.join(tempfile.mkdtemp(prefix="conformance-"), "newest.db")
            Sluice("sqlite:///" + path, None).close()
            cls._newest = path
        return cls._newest


class Sluice:
    """Our server in a process of its own."""

    def __init__(self, backend, root, port=None):
        backend = Schema.renew(backend)
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        options = {"port": str(port), "backend-store-uri": backend}
        if root:
            options["default-artifact-root"] = root
        with open(LOG, "ab") as log:
            self._process = Popen(sluice_command(options), env=sluice_environment(os.environ), stdout=log, stderr=log)
        try:
            wait_for(self.url, self._process)
        except RuntimeError:
            self.close()
            raise

    def close(self):
        self._process.kill()
        self._process.wait()


class Stock:
    """A stock server: one process for the whole session that serves another database for each test (see stock.py)."""

    _process = None

    def __init__(self, backend, root, port=None):
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = {k: v for k, v in os.environ.items() if k.startswith(("MLFLOW_", "_MLFLOW_")) and k not in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")}
        if STOCK_PYTHON != sys.executable:
            backend = Schema.renew(backend)
        self._ask({"serve": port, "backend": backend, "root": root, "settings": settings})

    def close(self):
        self._ask({"stop": True})

    @classmethod
    def _ask(cls, order):
        if cls._process is None:
            log = open(LOG, "ab")
            cls._process = Popen([STOCK_PYTHON, str(HERE / "stock.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
            atexit.register(cls._process.kill)
        cls._process.stdin.write(json.dumps(order) + "\n")
        cls._process.stdin.flush()
        answer = cls._process.stdout.readline()
        if answer.strip() != "done":
            raise RuntimeError(f"the stock server: {answer.strip() or 'gone'}; its output is in {LOG}")


def start(backend, root, port=None):
    return Sluice(backend, root, port) if MODE == "sluice" else Stock(backend, root, port)
