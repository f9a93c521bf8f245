"""Writes served.json: what MLflow's scoring server answers, to the byte, when it serves the models of this folder.

Run it with the Python environment that `make setup` builds: python served.py
"""

import json
import logging
import pathlib
import warnings

import mlflow.pyfunc
from mlflow.pyfunc import scoring_server
from sklearn.datasets import load_wine

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
HERE = pathlib.Path(__file__).parent
wine, _ = load_wine(as_frame=True, return_X_y=True)


def split(frame):
    return {"dataframe_split": frame.to_dict(orient="split", index=False)}


def frame(**columns):
    return {"dataframe_split": {"columns": list(columns), "data": [list(row) for row in zip(*columns.values())]}}


some = wine.iloc[[0, 60, 140]]
CASES = [
    ("zipmap", split(some)), ("zipmap", {"dataframe_records": some.to_dict(orient="records")}), ("zipmap", {"inputs": some.to_dict(orient="list")}),
    ("zipmap", split(wine.iloc[::9])), ("zipmap_text", split(some)), ("zipmap_columns", split(some)), ("regression", split(some)),
    ("zipmap_kept", {"inputs": some.values.tolist()}), ("zipmap_unsorted", {"inputs": some.values.tolist()}),
    ("wine", split(some)), ("multi", frame(a=[5.0, 7.5], b=[1.0, 2.0])), ("int64", frame(x=[1, 2, -3])), ("lookup", frame(i=[0, 3])),
    ("text", frame(colour=["red", "blue"], size=["s", "l"])), ("centred", frame(x=[1.0, 2.0, 6.0])),
    ("half", {"inputs": {"x": [[1, 2], [3, 4]]}}), ("half_dynamic", {"inputs": {"x": [[0.5, 2, 3]]}}), ("fixed", {"inputs": {"x": [[1, 2]]}}),
    ("dynamic", {"inputs": {"x": [[1, 2, 3], [4, 5, 6.5]]}}), ("nonzero", {"inputs": {"x": [1, 0, 2]}}), ("sequence", {"inputs": {"x": [[1, 2], [3, 4.1]]}}),
    ("scalars", {"inputs": {"x": [[1, 2], [3, 4.5]], "gain": 0.5, "rate": 16000}}), ("scalar_sum", frame(a=[1.0, 2.0], b=[3.0, 4.0])),
    ("scalar_sum", {"inputs": {"x": [[1.5, 2.25]]}}),
    ("batch4_centred", frame(x=[1.0, 2.0, 3.0, 6.0])), ("slow", {"inputs": {"times": [3], "x": [0.5]}}),
]

out = []
for name, question in CASES:
    model = mlflow.pyfunc.load_model(str(HERE / name))
    body = json.dumps(question)
    try:
        got = scoring_server.invocations(body.encode(), "application/json", model, model.metadata.get_input_schema())
        status, answer = got.status, got.response
    except Exception as e:
        status, answer = 400, f"{type(e).__name__}: {e}"[:200]
    out.append({"model": name, "body": body, "status": status, "answer": answer})
    print(name, status, answer[:150])
(HERE / "served.json").write_text("[\n" + ",\n".join(json.dumps(o) for o in out) + "\n]\n")
