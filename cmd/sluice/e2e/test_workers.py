"""Through real workers: texts that are missing, predictions that are joined or not, and a model whose workers are lost for a while."""

import io
import os
import signal
import sys
import threading
import time

import mlflow
import mlflow.pyfunc
import pandas as pd
import pyarrow as pa
import pytest
import pythonmodels as models
from conftest import Server, real_client, wait_until
from mlflow.types import ColSpec, DataType, Schema

LOAD_SECONDS = 240  # of several models on a busy machine: each worker imports MLflow
X = models.ModelSignature(inputs=Schema([ColSpec(DataType.double, "x")]))
ONE = {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}

# Models from code, so that they need nothing of this file.
COUNTER = """
import time
import mlflow

class Counter(mlflow.pyfunc.PythonModel):
    '''Answers each row with how many rows it was asked together with.'''
    def predict(self, context, model_input, params=None):
        time.sleep(0.02)
        return [len(model_input)] * len(model_input)

mlflow.models.set_model(Counter())
"""

DOUBLER = """
import time
import mlflow

class Doubler(mlflow.pyfunc.PythonModel):
    '''Each row by itself, and as slow for one as for many.'''
    def predict(self, context, model_input, params=None):
        time.sleep(0.02)
        return model_input["x"].to_numpy() * 2

mlflow.models.set_model(Doubler())
"""

FRAGILE = """
import os
import pathlib
import mlflow

class Fragile(mlflow.pyfunc.PythonModel):
    '''Answers its process, and cannot be loaded while there is a certain file.'''
    def load_context(self, context):
        if pathlib.Path({flag!r}).exists():
            raise RuntimeError("the model's own reason")

    def predict(self, context, model_input, params=None):
        return [os.getpid()] * len(model_input)

mlflow.models.set_model(Fragile())
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    server = Server(folder / "data", "--python", sys.executable, "--python-workers", "1", "--conversion", "off").start()
    server.flag = folder / "broken"
    try:
        with real_client() as point:
            client = point(server)
            for name, code in {"counter": COUNTER, "doubler": DOUBLER, "fragile": FRAGILE.format(flag=str(server.flag))}.items():
                (folder / f"{name}.py").write_text(code)
                models.log(name, python_model=str(folder / f"{name}.py"), signature=X)
            texts = Schema([ColSpec(DataType.string, "s"), ColSpec(DataType.string, "o", required=False), ColSpec(DataType.double, "x", required=False)])
            models.log("texts", python_model=models.Mirror(), signature=models.ModelSignature(inputs=texts))
            for name in ("texts", "doubler", "fragile"):
                client.transition_model_version_stage(name, "1", "Production")
            for mode in ("auto", "always", "never"):
                config = {"served_entities": [{"name": "main", "entity_name": "counter", "entity_version": "1", "batching_mode": mode}]}
                assert server.post("/api/2.0/serving-endpoints", json={"name": f"counter-{mode}", "config": config}).ok
            server.texts = mlflow.pyfunc.load_model("models:/texts/1")
            for endpoint in ("texts", "doubler", "fragile", "counter-auto", "counter-always", "counter-never"):
                wait_until(lambda: server.get(f"/ready?endpoint={endpoint}").status_code == 200, LOAD_SECONDS, f"{endpoint} ready")
            yield server
    finally:
        server.stop()


def parquet(frame):
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue(), "application/vnd.apache.parquet", pd.read_parquet(io.BytesIO(out.getvalue()))


def arrow(frame):
    out, table = io.BytesIO(), pa.Table.from_pandas(frame)
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue(), "application/vnd.apache.arrow.stream", table.to_pandas()


def split(frame):
    body = frame.to_json(orient="split", index=False)
    return f'{{"dataframe_split": {body}}}'.encode(), "application/json", frame


FRAMES = {
    "some": {"s": ["a", None, ""], "o": [None, "k", None]},
    "all of an optional column": {"s": ["a", "b"], "o": [None, None]},
    "all of every column": {"s": [None, None], "o": [None, None], "x": [None, None]},
    "of one row": {"s": [None], "x": [1.5]},
}


@pytest.mark.parametrize("body", [parquet, arrow, split])
@pytest.mark.parametrize("missing", FRAMES)
def test_texts_that_are_missing_are_missing_for_the_model(served, body, missing):
    """As with MLflow, which is given the frame that the body holds."""
    data, kind, frame = body(pd.DataFrame(FRAMES[missing], dtype=object).astype({"x": float} if missing == "of one row" else {}))
    answer = served.post("/endpoints/texts/invocations", data=data, headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    told, _ = served.texts.predict(frame)
    assert without_types(answer.json()["predictions"][0]) == without_types(told)


def without_types(told):
    """What a model was given, with one word for all that is missing: which of them it is depends on pandas' type of the column, not on the values."""
    _, rows, index, columns = eval(told, {"nan": None, "NaT": None})
    return rows, index, [(name, [value for _, value in cells]) for name, _, cells in columns]


@pytest.mark.parametrize("endpoint, joined, reason", [
    ("counter-auto", False, "not independent"), ("counter-always", True, "the endpoint says so"), ("counter-never", False, "the endpoint says so"), ("doubler", True, ""),
])  # fmt: skip
def test_the_verdict_on_joining_is_shown_and_kept(served, endpoint, joined, reason):
    entity = served.get(f"/api/2.0/serving-endpoints/{endpoint}").json()["config"]["served_entities"][0]
    verdict = entity["batching"]
    assert verdict["joined"] == joined and reason in verdict.get("reason", ""), entity
    together = at_once(served, endpoint)
    if endpoint == "doubler":
        assert together == {2.0}
    elif joined:
        assert max(together) > 1, together
    else:
        assert together == {1}


def at_once(server, endpoint):
    """What 24 requests at the same time are answered."""
    answers, start = set(), threading.Barrier(24)

    def ask():
        start.wait()
        answer = server.post(f"/endpoints/{endpoint}/invocations", json=ONE)
        answers.update(answer.json()["predictions"] if answer.ok else [answer.text])

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def test_an_endpoint_whose_workers_are_lost_is_not_ready(served):
    """It refuses at once while no worker can be had, says so, and is back when one can."""
    ask = lambda: served.post("/endpoints/fragile/invocations", json=ONE)
    state = lambda: served.get("/api/2.0/serving-endpoints/fragile").json()
    (pid,) = ask().json()["predictions"]
    served.flag.touch()
    try:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: served.get("/ready?endpoint=fragile").status_code == 503, 60, "the probe's no")
        assert served.get("/ready?endpoint=fragile").json()["waiting"] == ["fragile-Production: version 1 executes nothing at present"]
        began = time.monotonic()
        answer = ask()
        assert answer.status_code == 503 and answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE" and answer.headers["Retry-After"], answer.text
        assert time.monotonic() - began < 10  # not the deadline of a request
        entity = state()["config"]["served_entities"][0]["state"]
        assert entity["deployment"] == "DEPLOYMENT_RECOVERING" and "the model's own reason" in entity["deployment_state_message"], entity
        assert state()["state"]["ready"] == "NOT_READY"
        assert served.get("/ready?endpoint=doubler").ok
        told = served.get("/ready").json()  # the server is in use by other endpoints, and tells
        assert any(w.startswith("endpoint fragile") for w in told["waiting"]), told
    finally:
        served.flag.unlink()
    wait_until(lambda: served.get("/ready?endpoint=fragile").ok, 120, "the endpoint's return")
    assert ask().json()["predictions"] not in ([], [pid])
