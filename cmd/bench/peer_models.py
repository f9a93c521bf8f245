"""Saves the example's pipeline for `mlflow models serve`: argv[1]/sklearn (cloudpickle) and argv[1]/onnx (with ZipMap)."""

import pathlib
import sys

import mlflow.onnx
import mlflow.sklearn
import onnxruntime  # noqa: F401  the peer needs it at serving time
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

target = pathlib.Path(sys.argv[1])
frame, labels = load_wine(return_X_y=True, as_frame=True)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(frame, labels)
signature = ModelSignature(inputs=Schema([ColSpec(DataType.double, name) for name in frame.columns]))
converted = to_onnx(model, initial_types=[("input", FloatTensorType([None, frame.shape[1]]))], target_opset=17)
mlflow.sklearn.save_model(model, target / "sklearn", signature=signature, serialization_format="cloudpickle", pip_requirements=["scikit-learn"])
mlflow.onnx.save_model(
    converted, target / "onnx", signature=signature, pip_requirements=["onnxruntime"], onnx_session_options={"intra_op_num_threads": 1}
)
