"""Writes the *.MLmodel files here with MLflow itself, one per kind of signature, as seeds and golden files.

Run it with the Python environment that `make setup` builds: python make_golden.py
"""
import datetime
import pathlib

import numpy as np
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property

HERE = pathlib.Path(__file__).parent


def write(name, signature=None, **kwargs):
    model = Model(signature=signature, model_uuid="0" * 32, utc_time_created=datetime.datetime(2026, 1, 2, 3, 4, 5, 6), **kwargs)
    model.add_flavor("python_function", loader_module="mlflow.sklearn", model_path="model.pkl", predict_fn="predict", python_version="3.11.7",
                     env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"})
    model.save(HERE / f"{name}.MLmodel")


scalars = [t for t in DataType]
write("columns", ModelSignature(inputs=Schema([ColSpec(t, t.name) for t in scalars]), outputs=Schema([ColSpec("double")])),
      artifact_path="model", run_id="f" * 32)
write("optional", ModelSignature(inputs=Schema([ColSpec("double", "a"), ColSpec("string", "b", required=False)])))
write("unnamed", ModelSignature(inputs=Schema([ColSpec("double"), ColSpec("long")])))
write("tensor", ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 28, 28))]), outputs=Schema([TensorSpec(np.dtype("float64"), (-1, 10))])))
write("tensors", ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 3), "x"), TensorSpec(np.dtype("str"), (-1,), "s")])))
write("nested", ModelSignature(inputs=Schema([
    ColSpec(Array(DataType.double), "list"), ColSpec(Array(Array(DataType.string)), "lists"), ColSpec(Map(DataType.long), "map"),
    ColSpec(Object([Property("k", DataType.string), Property("o", Array(DataType.long), required=False)]), "object"), ColSpec(AnyType(), "any")])))
write("params", ModelSignature(inputs=Schema([ColSpec("double", "a")]), params=ParamSchema([
    ParamSpec("temperature", "double", 0.5), ParamSpec("n", "long", 3), ParamSpec("small", "integer", 3), ParamSpec("word", "string", "x"), ParamSpec("on", "boolean", True),
    ParamSpec("list", "double", [1.0, 2.0], (-1,)), ParamSpec("when", "datetime", np.datetime64("2026-01-02")), ParamSpec("none", "string", None),
    ParamSpec("object", Object([Property("a", DataType.long)]), {"a": 1})])))
write("metadata", metadata={"team": "wine", "deep": {"list": [1, 2.5, None, True, "x"]}}, model_id="m-" + "a" * 32)
write("bare")


def casts():
    """Which column dtype MLflow lets stand for which declared type, over values that are neither 0 nor 1."""
    import json

    import pandas as pd
    from mlflow.exceptions import MlflowException
    from mlflow.models.utils import _enforce_mlflow_datatype

    out = {}
    for dtype in ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
                  "datetime64[ns]", "str"]:
        values = pd.Series(["x", "y"], dtype=object) if dtype == "str" else pd.Series([2, 3]).astype(dtype)
        for kind in DataType:
            try:
                result = str(_enforce_mlflow_datatype("c", values, kind).dtype)
            except (MlflowException, ValueError, TypeError) as e:
                result = "error: " + str(e)
            out.setdefault(dtype, {})[kind.name] = result
    (HERE / "casts.json").write_text(json.dumps(out, indent=1, sort_keys=True) + "\n")


def params():
    """What MLflow makes of given inference parameters."""
    import json

    from mlflow.exceptions import MlflowException
    import yaml
    from mlflow.models.utils import _enforce_params_schema

    schema = Model.from_dict(yaml.safe_load((HERE / "params.MLmodel").read_text())).signature.params
    out = []
    for given in [{}, {"temperature": 1}, {"temperature": "x"}, {"n": 1.5}, {"n": 2}, {"small": 5}, {"list": [1, 2]}, {"list": 3.0},
                  {"list": ["x"]}, {"on": 1}, {"on": False}, {"word": 1}, {"word": "y", "other": 2}, {"object": {"a": 2}}, {"object": {"b": 2}},
                  {"object": 3}, {"none": "z"}, {"temperature": None}, {"temperature": True}, {"word": "y", "n": "z", "on": "w"}]:
        try:
            result = {"result": {k: v for k, v in _enforce_params_schema(dict(given), schema).items() if k != "when"}}
        except MlflowException as e:
            result = {"error": e.message}
        out.append({"given": given, **result})
    (HERE / "params.json").write_text(json.dumps(out, indent=1) + "\n")


casts()
params()
