"""Networks of Keras and PyTorch, logged and promoted with the real client, are served as ONNX if that answers as they do, else by Python.

They have an environment of their own (`make networks`), whose libraries are too large for that of the tests.
"""

import json
import os
import pathlib
import subprocess

import pytest
import requests
from conftest import Server, wait_until

PYTHON = pathlib.Path(__file__).resolve().parents[3] / ".venv-networks" / "bin" / "python"
LOAD_SECONDS = 600  # for imports and conversions, one after the other, on a busy machine
TOLERANCE = 1e-4

ONNX, BY_PYTHON = "onnx (converted)", "python"
MODELS = {
    "jax": {"keras-jax-table": (ONNX, "")},
    "torch": {
        "keras-torch-two-inputs": (ONNX, ""), "torch-digits": (ONNX, ""), "torch-table": (ONNX, ""), "torch-words": (ONNX, ""), "torch-scripted": (BY_PYTHON, "TorchScript"),
    },
    "tensorflow": {"keras-tensorflow-two-inputs": (ONNX, ""), "keras-words": (ONNX, "")},
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    assert PYTHON.exists(), "no .venv-networks: run `make networks`"
    s = Server(tmp_path_factory.mktemp("networks") / "data", "--python", str(PYTHON), "--python-workers", "1").start()
    yield s
    s.stop()


@pytest.fixture(scope="module", params=MODELS)
def logged(served, tmp_path_factory, request):
    """The models of one backend, in Production, with what they answer; the server loads them while the others are trained."""
    out = tmp_path_factory.mktemp("answers") / "answers.json"
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "KERAS"))}
    program = pathlib.Path(__file__).with_name("network_models.py")
    done = subprocess.run(
        [PYTHON, program, out, request.param], env=environ | {"MLFLOW_TRACKING_URI": served.url}, cwd=out.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return request.param, json.loads(out.read_text())


def ready(server, endpoint):
    def serving():
        e = server.get(f"/api/2.0/serving-endpoints/{endpoint}").json()["config"]["served_entities"][0]
        return e if e["state"]["deployment"] == "DEPLOYMENT_READY" else None

    return wait_until(serving, LOAD_SECONDS, f"{endpoint} ready")


def same(got, want):
    """The same JSON, but for the last digits of floats."""
    assert type(got) is type(want)
    if isinstance(want, dict):
        assert list(got) == list(want)
        return all(same(got[k], want[k]) for k in want)
    if isinstance(want, list):
        assert len(got) == len(want)
        return all(same(g, w) for g, w in zip(got, want, strict=True))
    return got == pytest.approx(want, rel=TOLERANCE, abs=TOLERANCE) if isinstance(want, float) else got == want


def test_networks_answer_as_their_originals(served, logged):
    backend, answers = logged
    assert set(answers) == set(MODELS[backend])
    for name, (by, reason) in MODELS[backend].items():
        state = ready(served, name)
        assert state["served_by"] == by, state
        tags = {t["key"]: t["value"] for t in served.get("/api/2.0/mlflow/model-versions/get", params={"name": name, "version": "1"}).json()["model_version"]["tags"]}
        assert tags["sluice.conversion.verdict"] == ("pass" if by == ONNX else "fail") and tags["sluice.backend"] == ("onnx" if by == ONNX else "python")
        assert reason in tags.get("sluice.conversion.reason", "") and reason in state.get("served_note", "")
        if by == ONNX:
            assert int(tags["sluice.conversion.rows"]) > 64 and "0.0001 absolute" in tags["sluice.conversion.tolerance"]
            assert ("keras " if "keras" in name else "torch ") in tags["sluice.conversion.versions"]
        answers_as(served, name, answers[name])
    if backend == "jax":
        in_python_too(served, "keras-jax-table", answers["keras-jax-table"])


def answers_as(server, endpoint, cases):
    for body, want in cases:
        answer = server.post(f"/endpoints/{endpoint}/invocations", json=body)
        if want is None:
            assert 400 <= answer.status_code < 500, (endpoint, answer.status_code, answer.text)
        else:
            assert answer.status_code == 200, (endpoint, answer.text)
            assert same(answer.json(), want), (endpoint, answer.json(), want)


def in_python_too(server, name, cases):
    """Keras computes with what the model was logged with, which neither the environment nor MLflow says."""
    config = {"served_entities": [{"name": "main", "entity_name": name, "entity_version": "1", "backend": "python"}]}
    answer = server.post("/api/2.0/serving-endpoints", json={"name": "in-python", "config": config})
    assert answer.ok, answer.text
    assert ready(server, "in-python")["served_by"] == BY_PYTHON
    answers_as(server, "in-python", cases)
