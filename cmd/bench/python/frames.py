"""Makes the python_function models of the benchmark below argv[1], or, given the path of one as argv[2], calls it for argv[3] seconds.

`frame` takes a data frame of four columns and does as little as a model can with pandas; `heavy` takes about 20 ms and more of its own time for 1000
rows. The calls are what a Python program that has the model would do; printed is rows per second.
"""

import json
import pathlib
import sys
import time

import cloudpickle
import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

COLUMNS = ["a", "b", "c", "d"]
ROWS = 1000


class Frame(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["a"].to_numpy() * 2 + model_input["b"].to_numpy() - model_input["c"].to_numpy() * model_input["d"].to_numpy()


class Heavy(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        x = model_input.to_numpy()
        for _ in range(700):
            x = np.sin(x) + 1
        return x.sum(axis=1)


def rows():
    return np.random.default_rng(0).random((ROWS, len(COLUMNS))).round(4)


def make(target):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    outputs = Schema([TensorSpec(np.dtype(np.float64), (-1,))])  # MLServer takes no signature without
    signature = ModelSignature(inputs=Schema([ColSpec(DataType.double, c) for c in COLUMNS]), outputs=outputs)
    for name, model in ("frame", Frame()), ("heavy", Heavy()):
        mlflow.pyfunc.save_model(
            target / name / "pyfunc", python_model=model, signature=signature, input_example=pd.DataFrame(rows()[:8], columns=COLUMNS),
            pip_requirements=["mlflow"],
        )  # fmt: skip
        (target / name / "rows.json").write_text(json.dumps(rows()[:128].tolist()))


def call(path, seconds):
    model, frame = mlflow.pyfunc.load_model(path), pd.DataFrame(rows(), columns=COLUMNS)
    model.predict(frame)
    start, calls = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        model.predict(frame)
        calls += 1
    print(json.dumps({"calls": calls, "seconds": time.perf_counter() - start}))


if len(sys.argv) > 2:
    call(sys.argv[2], float(sys.argv[3]))
else:
    make(pathlib.Path(sys.argv[1]))
