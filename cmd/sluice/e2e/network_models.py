"""Logs the networks that test_networks.py serves, and says what they answer: python network_models.py OUT BACKEND, with MLFLOW_TRACKING_URI.

BACKEND is what Keras computes with (tensorflow, jax or torch); with torch, PyTorch's own modules are logged besides. It runs in the environment that has
these libraries, which that of the tests has not. OUT gets, by name of the registered model, the bodies of requests with what MLflow's scoring server would
make of the answers of mlflow.pyfunc.load_model(...).predict; null where that refuses the request.
"""

import json
import os
import sys
import warnings

out, backend = sys.argv[1:]
os.environ["KERAS_BACKEND"] = backend
warnings.filterwarnings("ignore")

import keras  # noqa: E402
import mlflow  # noqa: E402
import mlflow.keras  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.models import infer_signature  # noqa: E402
from sklearn.datasets import load_digits, load_wine  # noqa: E402

FRAME = "dataframe_split"
rng = np.random.default_rng(0)
answers = {}


def digits():
    data = load_digits()
    return (data.images / 16).astype(np.float32), data.target


def json_of(predictions):
    from mlflow.utils.proto_json_utils import NumpyEncoder, _get_jsonable_obj

    return json.loads(json.dumps({"predictions": _get_jsonable_obj(predictions, pandas_orient="records")}, cls=NumpyEncoder))


def body(rows):
    if isinstance(rows, pd.DataFrame):
        return {FRAME: json.loads(rows.to_json(orient="split", index=False, double_precision=15))}
    return {"inputs": {n: a.tolist() for n, a in rows.items()} if isinstance(rows, dict) else rows.tolist()}


def part(rows, low, high):
    return {n: a[low:high] for n, a in rows.items()} if isinstance(rows, dict) else rows[low:high]


def register(flavor, name, model, rows, refused=None, **more):
    """Logs a model with the first of the rows as its example, and puts it into Production."""
    if flavor is not mlflow.keras:  # which cannot save one (3.17: the folder is not there yet)
        more.setdefault("input_example", part(rows, 0, 8))
    with mlflow.start_run(run_name=name):
        info = flavor.log_model(model, name="model", registered_model_name=name, pip_requirements=[], signature=infer_signature(rows), **more)
    mlflow.MlflowClient().transition_model_version_stage(name, "1", "Production")
    original = mlflow.pyfunc.load_model(info.model_uri)
    asked = [part(rows, 0, 1), part(rows, 0, 5)]
    answers[name] = [(body(r), json_of(original.predict(r))) for r in asked]
    if refused is not None:
        answers[name].append((body(refused), None))


def two_inputs():
    images, labels = digits()
    image, extra = keras.Input((8, 8, 1), name="picture"), keras.Input((2,), name="more")
    layer = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(image))
    layer = keras.layers.Dense(10, activation="softmax")(keras.layers.Concatenate()([layer, extra]))
    model = keras.Model({"image": image, "extra": extra}, layer)  # the names of the inputs are not those of the layers
    rows = {"image": images[:64, :, :, None], "extra": rng.normal(size=(64, 2)).astype(np.float32)}
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(rows, labels[:64], epochs=2, verbose=0)
    register(mlflow.keras, f"keras-{backend}-two-inputs", model, rows)


def table():
    x, _ = load_wine(return_X_y=True)  # 64-bit numbers, which Keras makes narrower
    model = keras.Sequential([keras.Input((13,)), keras.layers.BatchNormalization(), keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)])
    register(mlflow.keras, f"keras-{backend}-table", model, x[:64])


def words():
    rows = rng.integers(0, 50, (64, 12))
    model = keras.Sequential([keras.Input((12,), dtype="int64"), keras.layers.Embedding(50, 4), keras.layers.LSTM(5), keras.layers.Dense(1)])
    register(mlflow.keras, "keras-words", model, rows, refused=np.full((1, 12), 50))


def pytorch_models():
    import mlflow.pytorch
    import torch
    from torch import nn

    images, labels = digits()
    images = images[:, None]
    torch.manual_seed(0)
    cnn = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(72, 10))
    optimizer = torch.optim.Adam(cnn.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(cnn(torch.from_numpy(images[:500])), torch.from_numpy(labels[:500])).backward()
        optimizer.step()
    register(mlflow.pytorch, "torch-digits", cnn.eval(), images)  # saved as torch.export's program, the client's default

    frame = load_wine(as_frame=True).data  # 64-bit columns, of which MLflow makes a 32-bit matrix
    frame["proline"] = frame["proline"].astype(int)
    table = nn.Sequential(nn.Linear(13, 16), nn.Tanh(), nn.Linear(16, 3), nn.Softmax(dim=1))
    register(mlflow.pytorch, "torch-table", table, frame, serialization_format="pickle")

    register(mlflow.pytorch, "torch-words", Words(), rng.integers(0, 50, (64, 6)), refused=np.full((1, 6), -1), serialization_format="pickle")
    scripted = torch.jit.script(table)
    register(mlflow.pytorch, "torch-scripted", scripted, frame, serialization_format="pickle")


if backend == "torch":
    from torch import nn

    class Words(nn.Module):
        """Answers the number of a class: whole numbers in, whole numbers out."""

        def __init__(self):
            super().__init__()
            self.table, self.out = nn.Embedding(50, 8), nn.Linear(8, 5)

        def forward(self, words):
            return self.out(self.table(words).mean(dim=1)).argmax(dim=1)

    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])

keras.utils.set_random_seed(0)
for make in {"jax": [table], "torch": [two_inputs, pytorch_models], "tensorflow": [two_inputs, words]}[backend]:
    make()
with open(out, "w", encoding="utf-8") as file:
    json.dump(answers, file)
