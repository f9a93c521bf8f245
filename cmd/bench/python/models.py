"""Makes the models of the serving benchmark: argv[1]/{small,trees,mlp,large,busy}, the same ones on every run.

Each has `onnx` (the MLflow package that sluice serves; Triton runs its model.onnx), `rows.json` (128 rows of input) and, where a peer answers for
it with scikit-learn, `sklearn` (MLflow's scikit-learn flavor) and `model.joblib` (MLServer). `small/zipmap` is ONNX as skl2onnx writes it by
default: MLflow's scoring server fails on the plain form of a classifier, whose outputs differ in width.
"""

import json
import pathlib
import sys

import joblib
import mlflow.onnx
import mlflow.sklearn
import numpy as np
import onnx
import onnxruntime  # noqa: F401  mlflow.onnx needs it
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

ROWS = 128
target = pathlib.Path(sys.argv[1])


def converted(model, width, zipmap):
    return to_onnx(model, initial_types=[("input", FloatTensorType([None, width]))], target_opset=17, options={"zipmap": zipmap})


def save_onnx(name, folder, model, width, signature, zipmap=False):
    mlflow.onnx.save_model(
        converted(model, width, zipmap), target / name / folder, signature=signature, pip_requirements=["onnxruntime"],
        onnx_session_options={"intra_op_num_threads": 1},
    )  # fmt: skip


def save_rows(name, rows):
    (target / name / "rows.json").write_text(json.dumps(rows.tolist()))


def columns(names):
    return ModelSignature(inputs=Schema([ColSpec(DataType.double, name) for name in names]))


def tensor(width):
    return ModelSignature(inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, width))]))


def save_sklearn(name, model, signature):
    mlflow.sklearn.save_model(
        model, target / name / "sklearn", signature=signature, serialization_format="cloudpickle", pip_requirements=["scikit-learn"]
    )
    joblib.dump(model, target / name / "model.joblib")


def small():
    x, y = load_iris(return_X_y=True)
    signature = columns(["sepal_length", "sepal_width", "petal_length", "petal_width"])
    model = LogisticRegression(max_iter=1000).fit(x, y)
    save_onnx("small", "onnx", model, 4, signature)
    save_onnx("small", "zipmap", model, 4, signature, zipmap=True)
    save_sklearn("small", model, signature)
    save_rows("small", x[np.random.default_rng(0).permutation(len(x))[:ROWS]])


def trees():
    x, y = make_classification(5000, 30, n_informative=20, random_state=0)
    model = RandomForestClassifier(n_estimators=200, max_depth=10, random_state=0, n_jobs=1).fit(x, y)
    save_onnx("trees", "onnx", model, 30, tensor(30))
    save_sklearn("trees", model, tensor(30))
    save_rows("trees", x[:ROWS].round(4))


def network(name, layers):
    random = np.random.default_rng(0)
    x, y = random.random((500, 784)), random.integers(0, 10, 500)
    model = MLPClassifier(layers, max_iter=2, random_state=0)
    model.partial_fit(x, y, classes=np.arange(10))
    save_onnx(name, "onnx", model, 784, tensor(784))
    save_rows(name, x[:ROWS].round(5))


def busy():
    """About 4 ms of processor time a row, which joining saves nothing of: a server of it has other limits than its HTTP engine."""
    width, depth = 10_000, 200
    nodes = [onnx.helper.make_node("MatMul", ["input", "first"], ["a0"])]
    nodes += [onnx.helper.make_node("Sin", [f"a{i}"], [f"a{i + 1}"]) for i in range(depth)]
    nodes += [onnx.helper.make_node("MatMul", [f"a{depth}", "last"], ["score"])]
    constants = {"first": np.ones((4, width), np.float32), "last": np.full((width, 1), 1 / width, np.float32)}
    shapes = {"input": [None, 4], "score": [None, 1]}
    values = {name: onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    initializers = [onnx.numpy_helper.from_array(v, name) for name, v in constants.items()]
    graph = onnx.helper.make_graph(nodes, "busy", [values["input"]], [values["score"]], initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    mlflow.onnx.save_model(
        model, target / "busy" / "onnx", signature=tensor(4), pip_requirements=["onnxruntime"], onnx_session_options={"intra_op_num_threads": 1}
    )
    save_rows("busy", np.random.default_rng(0).random((ROWS, 4)).round(4))


small()
trees()
network("mlp", (512, 512))
network("large", (1400, 1000))  # a file of 10 MB
busy()
