"""Tests with the real clients against the built binary; `make e2e` builds it and runs them.

Every server is a process of its own on a free loopback port with a store of its own.
"""

import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import threading
import time

import pytest
import requests
from contract import Watch

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = pathlib.Path(os.environ.pop("SLUICE_BINARY", ROOT / "bin" / "sluice"))  # not a setting of the server: out of its sight
EXAMPLES = ROOT / "deploy" / "examples" / "wine"
STARTUP_SECONDS = 60


def own_environ():
    """What a process that a test starts may see: nothing of the settings that this process's clients left in the environment."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "OTEL_", "MLFLOW_"))}


def wait_until(check, seconds=30, what="condition"):
    """Polls check until it returns something true and returns that; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = check()
            if last:
                return last
        except (requests.ConnectionError, AssertionError) as error:
            last = error
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s; last: {last!r}")


class Server:
    """One sluice process. `out` grows with every line that it prints."""

    def __init__(self, data_dir, *args, env=None, descriptors=None):
        self.data_dir, self.args, self.env = pathlib.Path(data_dir), list(args), env or {}
        self.descriptors = descriptors  # that it may have open at most; None: as this process
        self.out = []
        self.process = None
        self.url = None

    def start(self):
        environ = own_environ() | self.env
        command = [str(BINARY), "serve", "--data-dir", str(self.data_dir), "--port", "0", "--grpc-port", "0", *self.args]
        self.out = []
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ, cwd=self.data_dir.parent,
            preexec_fn=self.descriptors and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors,) * 2)),
        )
        threading.Thread(target=self._read, args=(self.process, self.out), daemon=True).start()
        self.url = wait_until(self._listening, STARTUP_SECONDS, "the server's address")
        wait_until(lambda: requests.get(self.url + "/health", timeout=5, verify=False).ok, STARTUP_SECONDS, "/health")
        return self

    @staticmethod
    def _read(process, out):
        for line in process.stdout:
            out.append(line.rstrip("\n"))

    def _listening(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"sluice ended with {self.process.returncode}:\n" + "\n".join(self.out))
        for line in self.out:
            if found := re.search(r"listening on (https?://\S+)", line):
                return found.group(1)
        return None

    def ready(self, seconds=60):
        wait_until(lambda: requests.get(self.url + "/ready", timeout=5).status_code == 200, seconds, "/ready")
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Ends the server as an operator would and returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        return self.process.returncode

    def get(self, path, **kw):
        return requests.get(self.url + path, timeout=60, **kw)

    def post(self, path, **kw):
        return requests.post(self.url + path, timeout=60, **kw)

    def api(self, method, path, body=None):
        """Calls MLflow's REST API and returns the decoded answer; any status but 200 fails the test."""
        kind = "params" if method == "GET" else "json"
        answer = requests.request(method, f"{self.url}/api/2.0/mlflow/{path}", timeout=60, **{kind: body or {}})
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


@pytest.fixture(scope="session", autouse=True)
def watch():
    """Every answer of ours is held against the OpenAPI document (contract.py)."""
    with Watch() as w:
        yield w


@pytest.fixture(autouse=True)
def documented(watch):
    """Fails a test that got an answer which the document does not describe."""
    before = len(watch.problems)
    yield
    assert watch.problems[before:] == []


@pytest.fixture
def server(tmp_path):
    """A fresh server of its own for one test."""
    s = Server(tmp_path / "data").start()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """One server for a module's tests, which keep to names of their own."""
    s = Server(tmp_path_factory.mktemp("sluice") / "data").start()
    yield s
    s.stop()


@pytest.fixture
def mlflow_at():
    """Returns a function that points the real MLflow client at a server."""
    with real_client() as point:
        yield point


@contextlib.contextmanager
def real_client():
    """mlflow_at for fixtures that live longer than a test."""
    import mlflow

    def point(server):
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        mlflow.set_tracking_uri(server.url)
        mlflow.set_registry_uri(server.url)
        mlflow.set_experiment(experiment_id="0")  # the client remembers the last test's
        return mlflow.MlflowClient()

    yield point
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):  # None leaves them there
        os.environ.pop(name, None)


def register_wine(mlflow, name, version_dir="v2"):
    """Logs one example model in a run of its own with the real client and registers it; returns the model info."""
    import mlflow.onnx
    import onnx
    import pandas as pd
    from mlflow.models import Model

    path = EXAMPLES / version_dir
    example = json.loads((path / "input_example.json").read_text())
    with mlflow.start_run(run_name=f"{name}-{version_dir}"):
        return mlflow.onnx.log_model(
            onnx.load(path / "model.onnx"),
            name="model",
            signature=Model.load(str(path)).signature,
            input_example=pd.DataFrame(example["data"], columns=example["columns"]),
            registered_model_name=name,
            pip_requirements=["onnxruntime"],
        )


def wine_rows(n=2):
    """Returns {columns, data} with n rows of the wine data set."""
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).data.head(n)
    return {"columns": list(frame.columns), "data": frame.values.tolist()}


def split_body(n=1):
    return {"dataframe_split": wine_rows(n)}
