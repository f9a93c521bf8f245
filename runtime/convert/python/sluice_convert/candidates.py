"""The ways to write one model as ONNX, the quickest to serve first."""

import importlib.metadata

from . import boosters, estimators, keras_models, pytorch
from .verdict import NotConvertible


class Candidate:
    def __init__(self, name, model, versions):
        self.name, self.model, self.versions = name, model, versions


def of(original, reasons):
    """Yields candidates; what cannot be converted one way is noted in `reasons` and the next way is tried."""
    ways, packages = _ways(original)
    for name, way in ways:
        try:
            model = way()
        except (NotConvertible, MemoryError):
            raise
        except Exception as error:
            reasons.append(f"{name}: {_short(error)}")
            continue
        yield Candidate(name, model, _versions(packages))


def _ways(original):
    loader = original.loader
    if loader == "mlflow.sklearn":
        return estimators.ways(original), ["scikit-learn", "skl2onnx", "onnx"]
    if loader == "mlflow.lightgbm":
        return boosters.lightgbm(original), ["lightgbm", "onnxmltools", "skl2onnx", "onnx"]
    if loader == "mlflow.xgboost":
        return boosters.xgboost(original), ["xgboost", "xgboost-cpu", "onnxmltools", "skl2onnx", "onnx"]
    if loader == "mlflow.catboost":
        return boosters.catboost(original), ["catboost", "onnx"]
    if loader == "mlflow.pytorch":
        return pytorch.ways(original), ["torch", "onnxscript", "onnx"]
    if loader in ("mlflow.keras", "mlflow.tensorflow"):
        return keras_models.ways(original), ["keras", *keras_models.packages(), "onnx"]
    raise NotConvertible(f"no converter is known for models of {loader}")


def _versions(packages):
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _short(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:300]
