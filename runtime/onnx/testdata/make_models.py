"""Writes the small model packages that the tests of runtime/onnx, servable and backendtest load.

Run it with the Python environment that `make setup` builds: python make_models.py
Every package is a folder here with an MLmodel file written by MLflow itself; environment files are left out.
"""
import json
import pathlib
import shutil

import mlflow
import mlflow.onnx
import numpy as np
import onnx
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = pathlib.Path(__file__).parent
OPSET = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
KEEP = {"MLmodel", "model.onnx", "input_example.json", "serving_input_example.json", "weights.bin"}


def save(name, model, signature=None, example=None, **kwargs):
    path = HERE / name
    shutil.rmtree(path, ignore_errors=True)
    mlflow.onnx.save_model(
        model, str(path), signature=signature, input_example=example, pip_requirements=["onnxruntime"], **kwargs
    )
    for file in path.iterdir():
        if file.name not in KEEP:
            file.unlink()


def graph(name, nodes, inputs, outputs, initializers=()):
    g = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = helper.make_model(g, opset_imports=OPSET, ir_version=9)
    onnx.checker.check_model(model)
    return model


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def tensors(inputs, outputs):
    def schema(specs):
        return Schema([TensorSpec(np.dtype(d), s, n) for n, d, s in specs])

    return ModelSignature(inputs=schema(inputs), outputs=schema(outputs))


def sklearn_models():
    frame, y = load_wine(as_frame=True, return_X_y=True)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(frame.values, y)
    kinds = [("float_input", FloatTensorType([None, frame.shape[1]]))]
    signature = infer_signature(frame, pd.DataFrame({"label": [0]}))
    example = frame.head(2)
    options = {id(classifier): {"zipmap": False}}
    save("wine", to_onnx(classifier, initial_types=kinds, options=options), signature, example)
    save("zipmap", to_onnx(classifier, initial_types=kinds), signature, example)
    kept = to_onnx(classifier, initial_types=kinds)  # the probabilities are an output too: the ZipMap cannot be taken out
    source = next(n for n in kept.graph.node if n.op_type == "ZipMap").input[0]
    kept.graph.output.append(value(source, TensorProto.FLOAT, ["N", 3]))
    matrix = tensors([("float_input", "float32", (-1, frame.shape[1]))], [("output_label", "int64", (-1,))])
    save("zipmap_kept", kept, matrix)
    unsorted = to_onnx(classifier, initial_types=kinds)  # labels out of order: maps are answered sorted
    zip_map = next(n for n in unsorted.graph.node if n.op_type == "ZipMap")
    del zip_map.attribute[:]
    zip_map.attribute.append(helper.make_attribute("classlabels_int64s", [7, 30, 5]))
    save("zipmap_unsorted", unsorted, matrix)
    columns = {id(classifier): {"zipmap": "columns"}}
    save("zipmap_columns", to_onnx(classifier, initial_types=kinds, options=columns), signature, example)
    named = LogisticRegression(max_iter=500).fit(frame.values, np.array(["a", "b", "c"])[y])
    save("zipmap_text", to_onnx(named, initial_types=kinds), signature, example)
    regressor = LinearRegression().fit(frame.values, y)
    save("regression", to_onnx(regressor, initial_types=kinds), signature, example)
    expected = {
        "label": classifier.predict(frame.values).tolist(),
        "probabilities": classifier.predict_proba(frame.values).round(6).tolist(),
        "rows": frame.values.tolist(),
        "columns": list(frame.columns),
    }
    (HERE / "wine_expected.json").write_text(json.dumps({k: v[::10] if k != "columns" else v for k, v in expected.items()}) + "\n")

    people = pd.DataFrame({"colour": ["red", "green", "red", "blue"], "size": ["s", "m", "l", "s"]})
    text = make_pipeline(
        ColumnTransformer([("one", OneHotEncoder(handle_unknown="ignore"), ["colour", "size"])]), LogisticRegression()
    ).fit(people, ["warm", "cold", "warm", "cold"])
    kinds = [(c, StringTensorType([None, 1])) for c in people.columns]
    save("text", to_onnx(text, initial_types=kinds, options={id(text): {"zipmap": False}}), infer_signature(people), people.head(2))


def small_models():
    f32, f16, i64 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64
    save(
        "multi",
        graph("multi", [helper.make_node("Sub", ["a", "b"], ["difference"])],
              [value("a", f32, ["N"]), value("b", f32, ["N"])], [value("difference", f32, ["N"])]),
        ModelSignature(inputs=Schema([ColSpec("double", "b"), ColSpec("double", "a")])),
    )
    weights = numpy_helper.from_array(np.array([[1, 0, 0.5], [0, 1, 0.5]], dtype=np.float16), "w")
    save(
        "half",
        graph("half", [helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", f16, ["N", 2])], [value("y", f16, ["N", 3])], [weights]),
        tensors([("x", "float16", (-1, 2))], [("y", "float16", (-1, 3))]),
    )
    save(
        "half_dynamic",
        graph("half_dynamic", [helper.make_node("Identity", ["x"], ["y"])], [value("x", f16, ["N", "T"])], [value("y", f16, ["N", "T"])]),
        tensors([("x", "float16", (-1, -1))], [("y", "float16", (-1, -1))]),
    )
    one = numpy_helper.from_array(np.array([1], dtype=np.int64), "one")
    save(
        "int64",
        graph("int64", [helper.make_node("Add", ["x", "one"], ["y"])], [value("x", i64, ["N"])], [value("y", i64, ["N"])], [one]),
        ModelSignature(inputs=Schema([ColSpec("long", "x")])),
    )
    save(
        "fixed",
        graph("fixed", [helper.make_node("Neg", ["x"], ["y"])], [value("x", f32, [1, 2])], [value("y", f32, [1, 2])]),
        tensors([("x", "float32", (1, 2))], [("y", "float32", (1, 2))]),
    )
    axes = numpy_helper.from_array(np.array([1], dtype=np.int64), "axes")
    save(
        "dynamic",
        graph("dynamic", [helper.make_node("ReduceSum", ["x", "axes"], ["total"], keepdims=0), helper.make_node("Neg", ["x"], ["minus"])],
              [value("x", f32, ["N", "T"])], [value("total", f32, ["N"]), value("minus", f32, ["N", "T"])], [axes]),
        tensors([("x", "float32", (-1, -1))], [("total", "float32", (-1,)), ("minus", "float32", (-1, -1))]),
    )
    save(
        "nonzero",  # how many outputs there are depends on the values
        graph("nonzero", [helper.make_node("NonZero", ["x"], ["at"])], [value("x", f32, ["N"])], [value("at", i64, [1, "K"])]),
        tensors([("x", "float32", (-1,))], [("at", "int64", (1, -1))]),
    )
    table = numpy_helper.from_array(np.array([10, 20, 30, 40], dtype=np.float32), "table")
    save(
        "lookup",  # an index outside 0..3 makes the run fail
        graph("lookup", [helper.make_node("Gather", ["table", "i"], ["y"])], [value("i", i64, ["N"])], [value("y", f32, ["N"])], [table]),
        ModelSignature(inputs=Schema([ColSpec("long", "i")])),
    )
    mean = [helper.make_node("ReduceMean", ["x"], ["m"], keepdims=1), helper.make_node("Sub", ["x", "m"], ["y"])]
    save(
        "centred",  # a row's answer depends on its neighbours: must not be batched
        graph("centred", mean, [value("x", f32, ["N"])], [value("y", f32, ["N"])]),
        ModelSignature(inputs=Schema([ColSpec("float", "x")])),
    )


def fixed_models():
    """models for four rows at a time: of rows that stand for themselves, and of rows that do not."""
    f32 = TensorProto.FLOAT
    weights = numpy_helper.from_array(np.array([[1, 0, 2], [0, 1, 3]], dtype=np.float32), "w")
    save("batch4", graph("batch4", [helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", f32, [4, 2])], [value("y", f32, [4, 3])], [weights]),
         ModelSignature(inputs=Schema([ColSpec("double", "p"), ColSpec("double", "q")])))
    mean = [helper.make_node("ReduceMean", ["x"], ["m"], keepdims=1), helper.make_node("Sub", ["x", "m"], ["y"])]
    save("batch4_centred", graph("batch4_centred", mean, [value("x", f32, [4, 1])], [value("y", f32, [4, 1])]),
         ModelSignature(inputs=Schema([ColSpec("double", "x")])))
    # row r answers x[r] + x[r-1]: of which the first row knows nothing
    shift = [helper.make_node("Pad", ["x", "pads"], ["padded"]), helper.make_node("Slice", ["padded", "from", "to"], ["before"]),
             helper.make_node("Add", ["x", "before"], ["y"])]
    ints = [numpy_helper.from_array(np.array(v, dtype=np.int64), n) for n, v in (("pads", [1, 0, 0, 0]), ("from", [0]), ("to", [4]))]
    save("batch4_shifted", graph("batch4_shifted", shift, [value("x", f32, [4, 1])], [value("y", f32, [4, 1])], ints),
         ModelSignature(inputs=Schema([ColSpec("double", "x")])))


def scalar_models():
    """inputs and outputs without dimensions: one among arrays, as of models for sound, one of every type, and one that a frame feeds."""
    f32, i64 = TensorProto.FLOAT, TensorProto.INT64
    nodes = [helper.make_node("Mul", ["x", "gain"], ["y"]), helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
             helper.make_node("Identity", ["rate"], ["rate_out"])]
    save("scalars", graph("scalars", nodes, [value("x", f32, ["N", 2]), value("gain", f32, []), value("rate", i64, [])],
                          [value("y", f32, ["N", 2]), value("total", f32, []), value("rate_out", i64, [])]),
         tensors([("x", "float32", (-1, 2)), ("gain", "float32", ()), ("rate", "int64", ())],
                 [("y", "float32", (-1, 2)), ("total", "float32", ()), ("rate_out", "int64", ())]))
    kinds = {"b": TensorProto.BOOL, "i1": TensorProto.INT8, "i2": TensorProto.INT16, "i4": TensorProto.INT32, "i8": i64, "u1": TensorProto.UINT8,
             "u2": TensorProto.UINT16, "u4": TensorProto.UINT32, "u8": TensorProto.UINT64, "f4": f32, "f8": TensorProto.DOUBLE}
    save("scalar_types", graph("scalar_types", [helper.make_node("Identity", [n], [n + "_out"]) for n in kinds],
                               [value(n, k, []) for n, k in kinds.items()], [value(n + "_out", k, []) for n, k in kinds.items()]))
    save("scalar_sum", graph("scalar_sum", [helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0)], [value("x", f32, ["N", 2])], [value("total", f32, [])]))
    save("scalar_half", graph("scalar_half", [helper.make_node("Neg", ["x"], ["y"])], [value("x", TensorProto.FLOAT16, [])], [value("y", TensorProto.FLOAT16, [])]))


def sequence_models():
    """outputs that are sequences of tensors: one tensor a row."""
    f32 = TensorProto.FLOAT
    node = helper.make_node("SplitToSequence", ["x"], ["rows"], axis=0, keepdims=0)
    out = helper.make_tensor_sequence_value_info("rows", f32, [None])
    save("sequence", graph("sequence", [node], [value("x", f32, ["N", 2])], [out]),
         tensors([("x", "float32", (-1, 2))], [("rows", "float32", (-1, 2))]))
    node = helper.make_node("SplitToSequence", ["x"], ["rows"], axis=0, keepdims=0)
    out = helper.make_tensor_sequence_value_info("rows", f32, [])
    save("sequence_flat", graph("sequence_flat", [node], [value("x", f32, ["N"])], [out]),
         ModelSignature(inputs=Schema([ColSpec("float", "x")])))


def mlp_model():
    """784-512-512-10 with constant weights that ONNX Runtime unfolds at load time: a model that gains from batching, in a small file."""
    nodes, inits, last = [], [], "x"
    for i, (rows, cols) in enumerate([(784, 512), (512, 512), (512, 10)]):
        inits.append(numpy_helper.from_array(np.array([rows, cols], dtype=np.int64), f"shape{i}"))
        weight = numpy_helper.from_array(np.array([1 / rows], dtype=np.float32))
        nodes.append(helper.make_node("ConstantOfShape", [f"shape{i}"], [f"w{i}"], value=weight))
        nodes.append(helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"]))
        last = f"m{i}"
        if i < 2:
            nodes.append(helper.make_node("Relu", [last], [f"r{i}"]))
            last = f"r{i}"
    nodes[-1].output[0] = "y"
    save("mlp", graph("mlp", nodes, [value("x", TensorProto.FLOAT, ["N", 784])], [value("y", TensorProto.FLOAT, ["N", 10])], inits),
         tensors([("x", "float32", (-1, 784))], [("y", "float32", (-1, 10))]))


def types_model():
    kinds = {"b": TensorProto.BOOL, "i1": TensorProto.INT8, "i2": TensorProto.INT16, "i4": TensorProto.INT32, "i8": TensorProto.INT64,
             "u1": TensorProto.UINT8, "u2": TensorProto.UINT16, "u4": TensorProto.UINT32, "u8": TensorProto.UINT64,
             "f2": TensorProto.FLOAT16, "bf2": TensorProto.BFLOAT16, "f4": TensorProto.FLOAT, "f8": TensorProto.DOUBLE,
             "s": TensorProto.STRING}
    nodes = [helper.make_node("Identity", [n], [n + "_out"]) for n in kinds]
    save("types", graph("types", nodes, [value(n, k, ["N", 2]) for n, k in kinds.items()],
                        [value(n + "_out", k, ["N", 2]) for n, k in kinds.items()]))


def slow_model():
    """y = x after `times` rounds of sin: as long as one wishes."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Sin", ["v"], ["v_next"])], "body",
        [value("round", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, [1])],
        [value("go_on", TensorProto.BOOL, []), value("v_next", TensorProto.FLOAT, [1])])
    true = numpy_helper.from_array(np.array(True), "true")
    squeeze = numpy_helper.from_array(np.array([0], dtype=np.int64), "zero")
    nodes = [helper.make_node("Squeeze", ["times", "zero"], ["n"]), helper.make_node("Loop", ["n", "true", "x"], ["y"], body=body)]
    save("slow", graph("slow", nodes, [value("times", TensorProto.INT64, [1]), value("x", TensorProto.FLOAT, [1])],
                       [value("y", TensorProto.FLOAT, [1])], [true, squeeze]),
         tensors([("times", "int64", (1,)), ("x", "float32", (1,))], [("y", "float32", (1,))]))


def slow_rows_model():
    """y = x after as many rounds of sin as the largest of `rounds` says: rows that can be joined, and take as long as one wishes."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Sin", ["v"], ["v_next"])], "body",
        [value("round", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, ["N"])],
        [value("go_on", TensorProto.BOOL, []), value("v_next", TensorProto.FLOAT, ["N"])])
    true = numpy_helper.from_array(np.array(True), "true")
    nodes = [helper.make_node("ReduceMax", ["rounds"], ["n"], keepdims=0), helper.make_node("Loop", ["n", "true", "x"], ["y"], body=body)]
    save("slow_rows", graph("slow_rows", nodes, [value("rounds", TensorProto.INT64, ["N"]), value("x", TensorProto.FLOAT, ["N"])],
                            [value("y", TensorProto.FLOAT, ["N"])], [true]),
         ModelSignature(inputs=Schema([ColSpec("long", "rounds"), ColSpec("float", "x")])))


def external_models():
    """weights beside the model: one honest, one that points out of its folder."""
    for name, location in (("external", "weights.bin"), ("external_escape", "../wine/model.onnx")):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[256], data_location=TensorProto.EXTERNAL)
        for key, val in (("location", location), ("offset", "0"), ("length", "1024")):
            tensor.external_data.add(key=key, value=val)
        g = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], name, [value("x", TensorProto.FLOAT, ["N", 256])],
                              [value("y", TensorProto.FLOAT, ["N", 256])], [tensor])
        path = HERE / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        (path / "model.onnx").write_bytes(helper.make_model(g, opset_imports=OPSET, ir_version=9).SerializeToString())
        if location == "weights.bin":
            (path / location).write_bytes(np.arange(256, dtype=np.float32).tobytes())
        shutil.copy(HERE / "fixed" / "MLmodel", path / "MLmodel")
        text = (path / "MLmodel").read_text()
        lines = text.splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith("signature:"))
        end = next((i for i in range(start + 1, len(lines)) if not lines[i].startswith(" ")), len(lines))
        (path / "MLmodel").write_text("\n".join(lines[:start] + lines[end:]) + "\n")


def huge_models():
    """Dimensions that nobody has the memory for: of an input, and of an output that is not what it says."""
    f32, f16 = TensorProto.FLOAT, TensorProto.FLOAT16
    for name, kind, inner, outer in (("huge_input", f32, 1 << 40, 1 << 40), ("huge_half", f16, 1 << 62, 1 << 62)):
        save(name, graph(name, [helper.make_node("Identity", ["x"], ["y"])], [value("x", kind, ["N", inner])], [value("y", kind, ["N", outer])]))


def broken_models():
    for name, content in (("not_onnx", b"this is a text, not a model\n"), ("truncated", (HERE / "wine" / "model.onnx").read_bytes()[:700])):
        path = HERE / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        shutil.copy(HERE / "wine" / "MLmodel", path / "MLmodel")
        (path / "model.onnx").write_bytes(content)


def answers():
    """What MLflow's own pyfunc answers, or that it fails, for some inputs: answers.json."""
    wine, _ = load_wine(as_frame=True, return_X_y=True)
    cases = [
        ("wine", wine.head(2)), ("zipmap", wine.head(2)), ("zipmap_text", wine.head(3)), ("regression", wine.head(3)),
        ("multi", pd.DataFrame({"a": [5.0, 7.0], "b": [1.0, 2.0]})), ("int64", pd.DataFrame({"x": [1, 2]})),
        ("lookup", pd.DataFrame({"i": [0, 3]})), ("lookup", pd.DataFrame({"i": [0, 9]})), ("wine", wine.drop(columns="hue").head(1)),
        ("fixed", np.array([[1, 2]], dtype=np.float32)), ("fixed", np.array([[1, 2]], dtype=np.int64)),
        ("dynamic", np.arange(6, dtype=np.float32).reshape(2, 3)), ("nonzero", np.array([0, 1, 2], dtype=np.float32)),
    ]
    out = []
    for name, data in cases:
        record = {"model": name}
        if isinstance(data, pd.DataFrame):
            record["columns"] = {k: v.tolist() for k, v in data.items()}
        else:
            record.update(values=data.ravel().tolist(), shape=data.shape, dtype=str(data.dtype))
        try:
            result = mlflow.pyfunc.load_model(str(HERE / name)).predict(data)
            if isinstance(result, pd.DataFrame):
                record["records"] = [{k: ({str(a): float(b) for a, b in v.items()} if isinstance(v, dict) else v) for k, v in row.items()}
                                     for row in result.to_dict(orient="records")]
            else:
                record["tensors"] = {k: v.tolist() for k, v in result.items()}
        except Exception as e:
            record["error"] = type(e).__name__
        out.append(record)
    (HERE / "answers.json").write_text(json.dumps(out, default=str) + "\n")


if __name__ == "__main__":
    small_models()
    fixed_models()
    scalar_models()
    sequence_models()
    types_model()
    mlp_model()
    slow_model()
    slow_rows_model()
    external_models()
    sklearn_models()
    huge_models()
    broken_models()
    answers()
