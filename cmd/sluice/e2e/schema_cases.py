"""What test_schema.py asks of MLflow's scoring server and of ours, and where the two answer differently."""

import numpy as np

SCALARS = {"flag": "boolean", "small": "integer", "whole": "long", "single": "float", "real": "double", "text": "string", "at": "datetime"}
GOOD = {"flag": True, "small": 7, "whole": 2**40, "single": 0.5, "real": 2.25, "text": "a", "at": "2026-01-02T03:04:05"}


def models():
    """By name the signature of a model that tells what it was given."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType, Array, Map, Object, Property

    def columns(*specs):
        return ModelSignature(inputs=Schema(list(specs)))

    return {
        "scalars": columns(*[ColSpec(t, n) for n, t in SCALARS.items()]),
        "optional": columns(ColSpec("double", "a"), ColSpec("string", "b", required=False)),
        "unnamed": columns(ColSpec("double"), ColSpec("long")),
        "nested": columns(
            ColSpec(Array(DataType.double), "list"), ColSpec(Map(DataType.long), "map"), ColSpec(AnyType(), "any"),
            ColSpec(Object([Property("k", DataType.string), Property("n", DataType.long, required=False)]), "object"),
        ),
        "params": ModelSignature(
            inputs=Schema([ColSpec("double", "a")]),
            params=ParamSchema([ParamSpec("t", "double", 0.5), ParamSpec("n", "long", 3), ParamSpec("w", "string", "x"), ParamSpec("l", "double", [1.0], (-1,))]),
        ),
        "tensor": ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 2))])),
        "tensors": ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, 2), "x"), TensorSpec(np.dtype("int64"), (-1,), "n")])),
    }  # fmt: skip


def split(*rows, columns=None):
    columns = columns or list(rows[0])
    return {"dataframe_split": {"columns": columns, "data": [[r.get(c) for c in columns] for r in rows]}}


def records(*rows):
    return {"dataframe_records": list(rows)}


def scalar(**changed):
    return split(GOOD | changed)


OPTIONAL = {"a": 1.5, "b": "x"}
NESTED = {"list": [1.0, 2.5], "map": {"k": 1}, "any": "x", "object": {"k": "v", "n": 3}}


def cases():
    """Yields (model, what, body)."""
    yield "scalars", "as declared", scalar()
    yield "scalars", "as records", records(GOOD, GOOD)
    yield "scalars", "another order", split(GOOD, columns=sorted(GOOD))
    yield "scalars", "an extra column", scalar(extra=1)
    yield "scalars", "missing columns", split({"flag": True, "small": 1})
    yield "scalars", "missing and extra", split({"flag": True, "strange": 1})
    for name in SCALARS:
        yield "scalars", f"null {name}", scalar(**{name: None})
        yield "scalars", f"null beside a value {name}", split(GOOD, GOOD | {name: None})
    for name, values in {
        "flag": [1, 0, "true", 2.0], "small": [2.0, 2.5, 2**31, -(2**31), True, "7"], "whole": [2.0, 2.5, 2**53 + 1, 2**63 - 1, True, "7"],
        "single": [1, 0.1, 1e30, 1e300, "0.5", True], "real": [1, 2**40, 2**53 + 1, 1e308, "0.5", True, -0.0, 5e-324],
        "text": [1, 1.5, True, "", "\u00e9\u6a21\U0001f600", "null", ["a"]],
        "at": ["2026-01-02", "2026-01-02T03:04:05.123456", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00", "noon", "2026-13-01", 1767312245, ""],
    }.items():  # fmt: skip
        for value in values:
            yield "scalars", f"{name} {value!r}", scalar(**{name: value})
    yield "optional", "both", split(OPTIONAL)
    yield "optional", "without", split({"a": 1.5})
    yield "optional", "null", split(OPTIONAL, OPTIONAL | {"b": None})
    yield "optional", "no rows", {"dataframe_split": {"columns": ["a", "b"], "data": []}}
    yield "optional", "instances of objects", {"instances": [OPTIONAL, OPTIONAL]}
    yield "optional", "inputs by name", {"inputs": {"a": [1.5, 2.5], "b": ["x", "y"]}}
    yield "optional", "records with missing keys", records(OPTIONAL, {"a": 2.5})
    yield "unnamed", "by position", {"dataframe_split": {"columns": ["p", "q"], "data": [[1.5, 2]]}}
    yield "unnamed", "too few", {"dataframe_split": {"columns": ["p"], "data": [[1.5]]}}
    yield "unnamed", "too many", {"dataframe_split": {"columns": ["p", "q", "r"], "data": [[1.5, 2, 3]]}}
    yield "nested", "as declared", records(NESTED)
    yield "nested", "empty ones", records(NESTED | {"list": [], "map": {}})
    yield "nested", "lists of two lengths", records(NESTED, NESTED | {"list": [1.5]})
    yield "nested", "null list", records(NESTED | {"list": None})
    yield "nested", "null in a list", records(NESTED | {"list": [1.0, None]})
    yield "nested", "whole numbers in a list", records(NESTED | {"list": [1, 2]})
    yield "nested", "texts in a list", records(NESTED | {"list": ["a"]})
    yield "nested", "a number for a list", records(NESTED | {"list": 1.0})
    yield "nested", "text in a map", records(NESTED | {"map": {"k": "v"}})
    yield "nested", "object without optional", records(NESTED | {"object": {"k": "v"}})
    yield "nested", "object without required", records(NESTED | {"object": {"n": 3}})
    yield "nested", "object with an extra key", records(NESTED | {"object": {"k": "v", "z": 1}})
    yield "nested", "any list", records(NESTED | {"any": [1, "a"]})
    yield "nested", "any null", records(NESTED | {"any": None})
    one = split({"a": 1.0})
    yield "params", "defaults", one
    for params in (
        {"t": 0.25}, {"t": 1}, {"t": "hot"}, {"t": None}, {"n": 4}, {"n": 4.0}, {"n": 4.5}, {"n": True}, {"w": "y"}, {"w": 1}, {"l": [1.5, 2.5]},
        {"l": []}, {"l": 1.0}, {"l": ["a"]}, {"unknown": 1}, {},
    ):  # fmt: skip
        yield "params", f"{params}", one | {"params": params}
    yield "params", "params a list", one | {"params": [1]}
    yield "tensor", "inputs", {"inputs": [[1.5, 2.5], [3.5, 4.5]]}
    yield "tensor", "instances", {"instances": [[1.5, 2.5]]}
    yield "tensor", "whole numbers", {"inputs": [[1, 2]]}
    yield "tensor", "too wide", {"inputs": [[1.5, 2.5, 3.5]]}
    yield "tensor", "one dimension", {"inputs": [1.5, 2.5]}
    yield "tensor", "ragged", {"inputs": [[1.5, 2.5], [3.5]]}
    yield "tensor", "texts", {"inputs": [["a", "b"]]}
    yield "tensor", "null", {"inputs": [[1.5, None]]}
    yield "tensor", "a frame", {"dataframe_split": {"columns": ["p", "q"], "data": [[1.5, 2.5]]}}
    yield "tensor", "by name", {"inputs": {"x": [[1.5, 2.5]]}}
    yield "tensors", "inputs", {"inputs": {"x": [[1.5, 2.5]], "n": [3]}}
    yield "tensors", "instances", {"instances": [{"x": [1.5, 2.5], "n": 3}]}
    yield "tensors", "missing", {"inputs": {"x": [[1.5, 2.5]]}}
    yield "tensors", "extra", {"inputs": {"x": [[1.5, 2.5]], "n": [3], "z": [1]}}
    yield "tensors", "floats for integers", {"inputs": {"x": [[1.5, 2.5]], "n": [3.5]}}
    yield "tensors", "bare", {"inputs": [[1.5, 2.5]]}
    yield "tensors", "a frame", {"dataframe_records": [{"x": [1.5, 2.5], "n": 3}]}
