"""Answers, one JSON line per line read, what MLflow's own scoring server says to a body for a model that echoes its input.

In:  {"signature": {"inputs": ..., "params": ...} | null, "type": content type, "body": base64}
Out: {"status": int, "code": text, "message": text, "answer": text, "dtypes": {name: dtype}, "params": ...}

It calls mlflow.pyfunc.scoring_server.invocations in this process: parsing, casting and schema enforcement are MLflow's, and no
server is started. It reads stdin to its end and knows nothing of Sluice.
"""

import base64
import json
import logging
import os
import sys
import warnings

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc import scoring_server
from mlflow.types.schema import ParamSchema, Schema

warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)


class Echo:
    def predict(self, data, params=None):
        self.data, self.params = data, params
        return data


def dtypes(data):
    if isinstance(data, pd.DataFrame):
        return {"form": "table", "columns": [[str(c), str(data.iloc[:, i].dtype)] for i, c in enumerate(data.columns)]}
    if isinstance(data, dict):
        return {"form": "named", "columns": [[str(k), str(getattr(v, "dtype", type(v).__name__))] for k, v in data.items()]}
    if isinstance(data, np.ndarray):
        return {"form": "bare", "columns": [["", str(data.dtype)]]}
    return {"form": type(data).__name__, "columns": []}


models = {}


def model_of(signature):
    key = json.dumps(signature)
    if key not in models:
        meta = Model(flavors={"python_function": {"loader_module": "echo"}})
        if signature is not None:
            meta.signature = ModelSignature(
                inputs=Schema.from_json(json.dumps(signature["inputs"])) if signature.get("inputs") else None,
                params=ParamSchema.from_json(json.dumps(signature["params"])) if signature.get("params") else None,
            )
        echo = Echo()
        models[key] = (PyFuncModel(meta, echo), echo)
    return models[key]


def answer(case):
    model, echo = model_of(case["signature"])
    echo.data = echo.params = None
    body = base64.b64decode(case["body"])
    try:
        got = scoring_server.invocations(body, case["type"], model, model.metadata.get_input_schema())
    except MlflowException as e:
        return {"status": e.get_http_status_code(), "code": e.error_code, "message": e.message[:600]}
    except Exception as e:  # what uvicorn would turn into 500
        return {"status": 500, "code": type(e).__name__, "message": str(e)[:600]}
    out = {"status": got.status, "answer": got.response}
    if got.status == 200:
        out["frame"] = dtypes(echo.data)
        out["params"] = json.loads(json.dumps(echo.params, default=str))
    return out


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

# Arrow's threads may outlive the interpreter and abort the process on its way out.
sys.stdout.flush()
os._exit(0)
