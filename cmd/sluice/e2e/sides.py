"""Two servers that get the same calls, a real `mlflow server` and ours, and what is compared of their answers.

Used by test_differential.py (generated calls, both servers at once) and by goldens.py (written calls, recorded answers).
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import requests
from conftest import own_environ, wait_until

TIME_FIELDS = re.compile(r"^(creation_time|last_update_time|creation_timestamp(_ms)?|last_updated_timestamp(_ms)?|create_time|created_time|expiration_time)$")
RANDOM_NAME = re.compile(r"^[a-z]+-[a-z]+-\d{1,3}$")
TIMEOUT = 300  # seconds; a busy machine takes its time
UNKNOWN_ID = re.compile(r"\b((m|a|tr|d)-)?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\b")
SORTED = {"params": "key", "tags": "key", "metrics": "key", "aliases": "alias", "latest_versions": "version", "model_outputs": "model_id"}


class Side:
    """One server with the ids that it gave: in what is sent `{run1}` stands for the id kept as run1."""

    def __init__(self, url):
        self.url, self.ids = url, {}
        self.http = requests.Session()

    def put_in(self, value):
        if isinstance(value, str):
            return re.sub(r"\{(\w+)\}", lambda m: self.ids.get(m.group(1), m.group(0)), value)
        if isinstance(value, list):
            return [self.put_in(v) for v in value]
        if isinstance(value, dict):
            return {self.put_in(k): self.put_in(v) for k, v in value.items()}
        return value

    def send(self, method, path, body, **kw):
        path, body = self.put_in(path), self.put_in(body)
        kind = {"data": body} if body is None or isinstance(body, bytes) else {"params": query(body)} if method == "GET" else {"json": body}
        return self.http.request(method, self.url + path, timeout=TIMEOUT, **kind, **kw)

    def names(self):
        return {real: "{%s}" % name for name, real in self.ids.items()}

    def mask(self, text):
        """Puts the names of known ids into a text, back from this server's."""
        text = re.sub(r"mlflow-artifacts:/(\d+)", lambda m: "mlflow-artifacts:/" + self.names().get(m.group(1), m.group(1)), text)
        for name, real in sorted(self.ids.items(), key=lambda i: -len(i[1])):
            if len(real) > 8:
                text = text.replace(real, "{%s}" % name)
        return UNKNOWN_ID.sub("<id>", re.sub(r"mlflow-artifacts:/\d+", "mlflow-artifacts:/<experiment>", text))

    def plain(self, value, field=""):
        """Takes out what a server is free to choose: ids, times of its own clock, the order of sets."""
        if isinstance(value, dict):
            return {self.mask(k): self.plain(v, k) for k, v in value.items()}
        if isinstance(value, list):
            items = [self.plain(v) for v in value]
            key = SORTED.get(field)
            if key and all(isinstance(i, dict) for i in items):
                items.sort(key=lambda i: json.dumps([i.get(key), i], sort_keys=True))
            return items
        if TIME_FIELDS.match(field):
            return "<time>"
        if field == "next_page_token":
            return "<token>" if value else value
        if field == "experiment_id":
            return self.names().get(value, "<experiment>")
        if isinstance(value, str) and RANDOM_NAME.match(value):
            return "<name>"
        return self.mask(value) if isinstance(value, str) else value

    def answer(self, response):
        """What is compared of an answer: {status, error_code, message} of an error, {status, body} of other JSON, else {status} and text."""
        got = {"status": response.status_code}
        try:
            doc = response.json()
        except ValueError:
            text = response.content[:200].decode("utf-8", "replace")
            return got if response.status_code >= 400 or "<html" in text.lower() else got | {"text": text}
        if response.status_code >= 400 and isinstance(doc, dict) and "error_code" in doc:
            return got | {"error_code": doc["error_code"], "message": shortened(self.words(doc["message"]))}
        return shortened(got | {"body": self.plain(doc)})

    def words(self, message):
        """An error's message without what a server is free to choose: ids, and the order in which Python prints a set."""
        message = re.sub(r"((?:experiment|id)[ =]'?)(\d{1,8})\b", lambda m: m[1] + self.names().get(m[2], "<experiment>"), self.mask(message), flags=re.IGNORECASE)
        message = re.sub(r"\{('[^{}]*')\}", lambda m: "{" + ", ".join(sorted(m[1].split(", "))) + "}", message)
        return UNKNOWN_ID.sub("<id>", message)


def shortened(value):
    """Replaces what is long in an answer by its beginning and a digest."""
    def digest(text):
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]

    if isinstance(value, dict):
        return {shortened(k): shortened(v) for k, v in value.items()}
    if isinstance(value, list):
        items = [shortened(v) for v in value]
        return items if len(items) <= 60 else [*items[:5], f"… {len(items)} items, sha256 {digest(json.dumps(items, sort_keys=True))}"]
    if isinstance(value, str) and len(value) > 400:
        return f"{value[:300]}… {len(value)} characters, sha256 {digest(value)}"
    return value


def query(body):
    """Writes a body as the Python client writes query parameters."""
    def text(v):
        return str(v).lower() if isinstance(v, bool) else v

    return {k: [text(x) for x in v] if isinstance(v, list) else text(v) for k, v in (body or {}).items()}


def dig(doc, path):
    """The value at a dotted path of a JSON document."""
    for step in path.split("."):
        doc = doc[int(step) if isinstance(doc, list) else step]
    return doc


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


@contextlib.contextmanager
def mlflow_server(folder, database=None, **environ):
    """A real MLflow server's address, with its files in `folder`; `database` is copied as its start, which saves the migrations."""
    if database:
        shutil.copy(database, folder / "mlflow.db")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    environ = own_environ() | {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder}/mlflow.db", "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"), "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    } | environ
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, env=environ, cwd=folder, stdout=log, stderr=log) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: requests.get(url + "/health", timeout=5).ok, TIMEOUT, "mlflow's /health")
            yield url
        finally:
            process.kill()
