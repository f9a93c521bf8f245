"""The same calls to a real MLflow server and to ours: status, error code and answer have to be equal.

The calls are generated from a seed (calls.py). `DIFFERENTIAL_CALLS` and `DIFFERENTIAL_SEED` look further than the default;
`MLFLOW_SERVER_URL` uses a server that runs already. A difference on purpose stands in EXPLAINED with its reason.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest
import requests

from calls import Generator
from conftest import Server, own_environ, wait_until

CALLS = int(os.environ.get("DIFFERENTIAL_CALLS", "150"))
SEED = int(os.environ.get("DIFFERENTIAL_SEED", "1"))

# (path contains, what the call or the two answers must show, reason)
EXPLAINED = [
    ("registered-models/search", lambda body, got, want: str(body.get("max_results")) in ("0", "") and got[0] == 400, "MLflow answers a page of nothing with a token for the same page"),
    ("logged-models/search", lambda body, got, want: body.get("max_results") == 1000000 and got[0] == 400, "a page has a bound, here as in the other searches"),
    ("", lambda body, got, want: want[0] == 500 and 400 <= got[0] < 500, "MLflow fails where we refuse; a client would try a 500 again and again"),
    ("metrics/get-history", lambda body, got, want: not str(body.get("max_results", 1)).isdigit() and got[0] == 400, "MLflow drops a number that it cannot read"),
    ("runs/outputs", lambda body, got, want: want[1] == "BAD_REQUEST" and got[0] == 200, "the same output twice: MLflow shows a broken constraint, we keep one"),
]

MADE = {"experiments/create": ("exp", "experiment_id"), "runs/create": ("run", "run.info.run_id"), "logged-models": ("model", "model.info.model_id")}
TIME_FIELDS = re.compile(r"^(creation_time|last_update_time|creation_timestamp(_ms)?|last_updated_timestamp(_ms)?)$")
RANDOM_NAME = re.compile(r"^[a-z]+-[a-z]+-\d{1,3}$")
SORTED = {"params": "key", "tags": "key", "metrics": "key", "aliases": "alias", "latest_versions": "version", "model_outputs": "model_id"}


class Side:
    """One server with the ids that it gave."""

    def __init__(self, url):
        self.url, self.ids = url, {}

    def put_in(self, value):
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda m: self.ids.get(m.group(1), m.group(0)), value)
        if isinstance(value, list):
            return [self.put_in(v) for v in value]
        if isinstance(value, dict):
            return {k: self.put_in(v) for k, v in value.items()}
        return value

    def send(self, method, path, body):
        path, body = self.put_in(path), self.put_in(body)
        kind = {"data": body} if body is None or isinstance(body, bytes) else {"params": query(body)} if method == "GET" else {"json": body}
        return requests.request(method, self.url + path, timeout=60, **kind)

    def names(self):
        return {real: "{%s}" % name for name, real in self.ids.items()}

    def plain(self, value, field=""):
        """Takes out what a server is free to choose: ids, times of its own clock, the order of sets."""
        if isinstance(value, dict):
            return {k: self.plain(v, k) for k, v in value.items()}
        if isinstance(value, list):
            items = [self.plain(v) for v in value]
            key = SORTED.get(field)
            if key and all(isinstance(i, dict) for i in items):
                items.sort(key=lambda i: json.dumps([i.get(key), i], sort_keys=True))
            return items
        if TIME_FIELDS.match(field):
            return "<time>"
        if field == "next_page_token":
            return "<token>"
        if field == "experiment_id":
            return self.names().get(value, value)
        if isinstance(value, str) and RANDOM_NAME.match(value):
            return "<name>"
        if isinstance(value, str):
            value = re.sub(r"^mlflow-artifacts:/(\d+)", lambda m: "mlflow-artifacts:/" + self.names().get(m.group(1), m.group(1)), value)
            for name, real in self.ids.items():
                if len(real) > 8:
                    value = value.replace(real, "{%s}" % name)
        return value


def query(body):
    """Writes a body as the Python client writes query parameters."""
    def text(v):
        return str(v).lower() if isinstance(v, bool) else v

    return {k: [text(x) for x in v] if isinstance(v, list) else text(v) for k, v in (body or {}).items()}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("differential") / "data", "--prediction-log=false").start()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def theirs(ours, tmp_path_factory):
    """A real MLflow server on a copy of our empty database, which saves it the migrations."""
    if url := os.environ.get("MLFLOW_SERVER_URL"):
        yield url
        return
    folder = tmp_path_factory.mktemp("mlflow")
    ours.stop()
    shutil.copy(ours.data_dir / "sluice.db", folder / "mlflow.db")
    ours.start()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    environ = own_environ() | {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db", "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"), "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=log) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: requests.get(url + "/health", timeout=5).ok, 120, "mlflow's /health")
            yield url
        finally:
            process.kill()


def answer(side, response):
    """What is compared of an answer."""
    if response.status_code >= 400:
        try:
            return response.status_code, response.json().get("error_code")
        except ValueError:
            return response.status_code, "not JSON"
    if "application/json" in response.headers.get("Content-Type", ""):
        return response.status_code, side.plain(response.json())
    return response.status_code, len(response.content)


def keep(generator, path, sides, responses):
    """Remembers the ids of something that both have made."""
    kind, where = next((v for k, v in MADE.items() if path.endswith("/mlflow/" + k)), (None, None))
    if kind is None or any(r.status_code != 200 for r in responses):
        return
    name = generator.made(kind)
    for side, response in zip(sides, responses):
        value = doc = response.json()
        for step in where.split("."):
            value = value[step]
        side.ids[name] = str(value)
        if kind == "run":
            side.ids[name.replace("run", "artifacts")] = doc["run"]["info"]["artifact_uri"]


def first_difference(want, got, where=""):
    """Returns where two JSON documents differ first, and what each has there."""
    if isinstance(want, dict) and isinstance(got, dict):
        for k in sorted(want.keys() | got.keys()):
            if want.get(k) != got.get(k):
                return first_difference(want.get(k), got.get(k), f"{where}.{k}")
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for i, (w, g) in enumerate(zip(want, got)):
            if w != g:
                return first_difference(w, g, f"{where}[{i}]")
    return where, json.dumps(want)[:600], json.dumps(got)[:600]


def explained(path, body, got, want):
    fields = body if isinstance(body, dict) else {}
    return any(part in path and check(fields, got, want) for part, check, _ in EXPLAINED)


def test_same_answers_as_mlflow(ours, theirs):
    sides = [Side(theirs), Side(ours.url)]
    generator, differences = Generator(SEED), []
    for number in range(CALLS):
        method, path, body = generator.call()
        responses = [side.send(method, path, body) for side in sides]
        keep(generator, path, sides, responses)
        want, got = [answer(side, r) for side, r in zip(sides, responses)]
        if want == got or explained(path, body, got, want):
            continue
        where, *told = ["", *(r.text[:300] for r in responses)] if want[0] != got[0] or want[0] >= 400 else first_difference(want[1], got[1])
        differences.append(f"call {number}: {method} {path} {body!r} {where}\n  mlflow {want[0]} {told[0]}\n  ours   {got[0]} {told[1]}")
    assert not differences, f"seed {SEED}: {len(differences)} of {CALLS} answers differ\n" + "\n".join(differences[:60])
