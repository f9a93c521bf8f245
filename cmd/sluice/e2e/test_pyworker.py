"""Models that need Python: the same answers as MLflow's own scoring server, word for word, and one process group for many of them."""

import contextlib
import json
import os
import pathlib
import re
import signal
import sys
import threading

import mlflow
import mlflow.pyfunc
import pandas as pd
import pytest
import pythonmodels as models
from conftest import Server, real_client, wait_until
from mlflow.pyfunc import scoring_server

LOAD_SECONDS = 240  # of many models on a busy machine: each worker imports MLflow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with every model of pythonmodels in Production, one worker each; its frames are what the models can be asked."""
    folder = tmp_path_factory.mktemp("python")
    server = Server(folder / "data", "--python", sys.executable, "--python-workers", "1", "--conversion", "off", "--model-memory-bytes", str(64 << 30)).start()
    try:
        with real_client() as point:
            client = point(server)
            text = models.Schema([models.ColSpec(models.DataType.string, "kind")])
            models.log("answers", python_model=models.Answers(), signature=models.ModelSignature(inputs=text))
            for name, signature in models.MIRRORS.items():
                models.log("mirror-" + name, python_model=models.Mirror(), signature=signature)
            models.log_doubler(folder)
            models.log_factors()
            server.frames = {"spam": models.log_spam(), "boosted": models.log_boosted(), "iris": models.log_iris_onnx()}
            for model in client.search_registered_models():
                client.transition_model_version_stage(model.name, "1", "Production")
            server.names = sorted(m.name for m in client.search_registered_models())
            for name in server.names:  # a body without an input field is refused by a model that is there
                wait_until(lambda: ask(server, name, {}).status_code == 400, LOAD_SECONDS, f"{name} answers")
            yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def original(served):
    """Loads a model as any user of MLflow would, once."""
    loaded = {}

    def load(name):
        if name not in loaded:
            loaded[name] = mlflow.pyfunc.load_model(f"models:/{name}/Production")
        return loaded[name]

    return load


def ask(server, name, body):
    return server.post(f"/endpoints/{name}/invocations", json=body)


def reference(model, body):
    """What MLflow's scoring server answers, with null for what JSON has no word for (DIFFERENCES.md, not-a-number-in-answers)."""
    answer = scoring_server.invocations(json.dumps(body), "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200
    text = re.sub(r'\b(NaN|-?Infinity)\b(?=[,\]}])|"NaT"', "null", answer.response)
    return text


@pytest.mark.parametrize("kind", models.ANSWERS)
@pytest.mark.parametrize("rows", [1, 3])
def test_every_kind_of_answer_is_word_for_word_that_of_the_scoring_server(served, original, kind, rows):
    body = {"dataframe_split": {"columns": ["kind"], "data": [[kind]] * rows}}
    answer = ask(served, "answers", body)
    assert answer.status_code == 200, answer.text
    try:
        expected = reference(original("answers"), body)
    except TypeError:  # MLflow's encoder does not know pandas' NA
        assert kind == "nullable frame"
        expected = {1: '{"predictions": [{"i": 1, "s": "a"}]}', 3: '{"predictions": [{"i": 1, "s": "a"}, {"i": null, "s": null}, {"i": 3, "s": "c"}]}'}[rows]
    assert answer.text == expected


@pytest.mark.parametrize("name, body", [(name, body) for name, bodies in models.QUESTIONS.items() for body in bodies])
def test_a_model_is_given_what_the_scoring_server_gives(served, original, name, body):
    answer = ask(served, "mirror-" + name, body)
    assert answer.status_code == 200, answer.text
    assert answer.text == reference(original("mirror-" + name), body)


def test_a_custom_model_with_code_and_artifacts(served, original):
    body = {"dataframe_split": {"columns": ["x"], "data": [[1.0], [4.0], [-3.0]]}}
    assert ask(served, "doubler", body).json() == {"predictions": [{"x": 2.5}, {"x": 10.0}, {"x": -7.5}]}
    assert ask(served, "doubler", body).text == reference(original("doubler"), body)


def test_a_recommender_answers_nulls_for_users_that_it_does_not_know(served, original):
    body = {"dataframe_records": [{"user": "u1"}, {"user": "nobody"}, {"user": "u5"}], "params": {"k": 2}}
    answer = ask(served, "factors", body)
    assert answer.text == reference(original("factors"), body)
    known, unknown, other = answer.json()["predictions"]
    assert unknown == {"items": None, "score": None}
    assert len(known["items"]) == len(other["items"]) == 2 and known["items"] != other["items"]
    body.pop("params")
    assert len(ask(served, "factors", body).json()["predictions"][0]["items"]) == 3


def test_a_text_pipeline_over_a_named_column(served, original):
    frame = served.frames["spam"]
    body = {"dataframe_split": {"columns": ["sender", "text"], "data": [["z", "money prize"], ["z", "lunch meeting"]]}}
    assert ask(served, "spam", body).json() == {"predictions": ["spam", "ham"]}
    body = {"dataframe_split": json.loads(frame.to_json(orient="split"))}
    assert ask(served, "spam", body).text == reference(original("spam"), body)


@pytest.mark.parametrize("name", ["xgboost", "lightgbm", "catboost", "forest"])
def test_boosted_trees_and_forests(served, original, name):
    frame = served.frames["boosted"].head(20)
    answer = ask(served, name, {"dataframe_split": json.loads(frame.to_json(orient="split", double_precision=15))})
    assert answer.json()["predictions"] == pytest.approx(original(name).predict(frame).tolist(), rel=1e-5)


def test_many_models_of_many_flavors_at_once(served):
    """8 models of 6 flavors answer at the same time."""
    iris, boosted = served.frames["iris"].head(2), served.frames["boosted"].head(2)
    split = lambda frame: {"dataframe_split": json.loads(frame.to_json(orient="split", double_precision=15))}
    bodies = {
        "iris": split(iris), "forest": split(boosted), "spam": split(served.frames["spam"].head(2)),
        "xgboost": split(boosted), "lightgbm": split(boosted), "catboost": split(boosted),
        "doubler": {"dataframe_split": {"columns": ["x"], "data": [[1.0], [2.0]]}}, "factors": {"dataframe_records": [{"user": "u1"}, {"user": "u2"}]},
    }  # fmt: skip
    flavors = {next(f for f in mlflow.models.get_model_info(f"models:/{name}/1").flavors if f != "python_function" or name in ("doubler", "factors")) for name in bodies}
    assert len(bodies) == 8 and flavors == {"onnx", "sklearn", "xgboost", "lightgbm", "catboost", "python_function"}
    wrong = []

    def hammer(name):
        first = ask(served, name, bodies[name]).text
        for _ in range(10):
            answer = ask(served, name, bodies[name])
            if answer.status_code != 200 or answer.text != first:
                wrong.append((name, answer.text))

    threads = [threading.Thread(target=hammer, args=(name,)) for name in bodies]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def workers(server):
    """The worker processes below a server: process id → environment."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if b"worker.py" in (entry / "cmdline").read_bytes() and int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == server.process.pid:
                found[int(entry.name)] = dict(v.split("=", 1) for v in (entry / "environ").read_text().split("\0") if "=" in v)
    return found


def test_workers_have_a_private_place_and_no_credentials_and_die_with_the_server(tmp_path, mlflow_at):
    server = Server(
        tmp_path / "data", "--python", sys.executable, "--python-workers", "1", "--conversion", "off",
        env={"AWS_SECRET_ACCESS_KEY": "secret", "DATABASE_PASSWORD": "secret", "MLFLOW_TRACKING_TOKEN": "secret"},
    ).start()  # fmt: skip
    try:
        check_surroundings(server, mlflow_at(server), tmp_path)
    finally:
        server.stop()


def check_surroundings(server, client, tmp_path):
    models.log_doubler(tmp_path)
    client.transition_model_version_stage("doubler", "1", "Production")
    body = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
    wait_until(lambda: ask(server, "doubler", body).ok, 90, "doubler answers")
    ((pid, environ),) = workers(server).items()
    assert "secret" not in environ.values() and not [name for name in environ if name.startswith(("AWS_", "SLUICE_", "MLFLOW_TRACKING"))]
    home = pathlib.Path(environ["HOME"])
    assert home.stat().st_mode & 0o777 == 0o700 and home == pathlib.Path(os.readlink(f"/proc/{pid}/cwd"))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: set(workers(server)) - {pid}, 60, "another worker")
    wait_until(lambda: ask(server, "doubler", body).ok, 30, "doubler answers again")
    metrics = server.get("/metrics").text
    assert re.search(r'sluice_worker_restarts_total\{[^}]*reason="killed"[^}]*\} 1', metrics)
    (pid,) = workers(server)
    server.kill()
    wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists() or "Z" in pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1], 10, "the worker's end")
