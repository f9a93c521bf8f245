"""Requests by subject, each with what a real MLflow server answered to it (answers/*.json).

Each module holds a list CASES, played from its first to its last on a server that was empty before the first module of MODULES.
`make goldens` plays them against the installed `mlflow server` and writes the answers again; test_goldens.py plays them against
ours and compares status, error code, message and body. Where we answer differently on purpose, a rule in exceptions.py says so.
"""

import dataclasses
import importlib
import json
import pathlib

import requests
from sides import dig, shortened

API, API3, AJAX, AJAX3 = "/api/2.0/mlflow/", "/api/3.0/mlflow/", "/ajax-api/2.0/mlflow/", "/ajax-api/3.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
ANSWERS = pathlib.Path(__file__).parent / "answers"
MODULES = ["general", "experiments", "runs", "batches", "run_search", "metrics", "inputs", "logged_models", "registry", "sources", "prompts", "traces",
           "assessments", "artifacts", "webhooks"]

@dataclasses.dataclass
class Case:
    """One request. A dict as body is JSON, or the query of a GET; a str is sent as JSON text, bytes as they are. In path and body `{name}` stands for
    an id kept by an earlier case: keep = {name: path of the id in the answer}."""

    method: str
    path: str
    body: object = None
    keep: dict = dataclasses.field(default_factory=dict)
    headers: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not self.path.startswith("/"):
            self.path = API + self.path

    def __str__(self):
        body = self.body if isinstance(self.body, str) else repr(self.body) if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False)
        return " ".join([self.method, *map(shortened, (self.path, body)), *(f"{k}: {v}" for k, v in self.headers.items())])

    def play(self, side):
        """Sends the request to a server and returns its answer as it is recorded."""
        body, headers = self.body, dict(self.headers)
        if isinstance(body, str):
            body = side.put_in(body).encode()
            headers = {"Content-Type": "application/json"} | headers
        try:
            response = side.send(self.method, self.path, body, headers=headers)
        except requests.ConnectionError:
            return {"status": "connection closed"}
        if response.status_code == 200:
            for name, path in self.keep.items():
                side.ids[name] = str(dig(response.json(), path))
        return side.answer(response)


def get(path, body=None, **kw):
    return Case("GET", path, body or {}, **kw)


def post(path, body=None, **kw):
    return Case("POST", path, {} if body is None else body, **kw)


def patch(path, body=None, **kw):
    return Case("PATCH", path, {} if body is None else body, **kw)


def delete(path, body=None, **kw):
    return Case("DELETE", path, {} if body is None else body, **kw)


def put(path, body=b"", **kw):
    return Case("PUT", path, body, **kw)


def each(make, values):
    """One case for each value."""
    return [make(v) for v in values]


def cases(module):
    return importlib.import_module(f"goldens.{module}").CASES


def recorded(module):
    return json.loads((ANSWERS / f"{module}.json").read_text())
