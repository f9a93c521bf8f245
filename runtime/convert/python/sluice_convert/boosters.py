"""Gradient boosting: LightGBM and XGBoost by onnxmltools, CatBoost by its own export. All take one matrix of numbers."""

import os

from . import graph
from .verdict import NotConvertible, need

ML_OPSET = 3
NEWEST_OPSET = 15  # what onnxmltools' own operators are written for


def lightgbm(original):
    _numbers(original)
    need("onnx", "onnx")
    need("onnxmltools", "onnxmltools")
    if getattr(original.raw, "pandas_categorical", None) or getattr(getattr(original.raw, "booster_", None), "pandas_categorical", None):
        raise NotConvertible("the LightGBM model takes pandas categories, which ONNX does not have")
    return [("one matrix of float", lambda: _lightgbm(original, False)), ("one matrix of double", lambda: _lightgbm(original, True))]


def _lightgbm(original, double):
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    with graph.Trees() as trees:
        model = onnxmltools.convert_lightgbm(original.raw, initial_types=[("X", FloatTensorType([None, original.width]))], target_opset=NEWEST_OPSET, zipmap=False)
    model = graph.fit(model, _picks(original, model), original.answer)
    if double:
        model = trees.restore(model)
    return _feed(original, model)


def xgboost(original):
    _numbers(original)
    need("onnx", "onnx")
    need("onnxmltools", "onnxmltools")
    return [("one matrix of float", lambda: _xgboost(original))]


def _xgboost(original):
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    raw = original.raw
    booster = raw.get_booster() if hasattr(raw, "get_booster") else raw
    names = booster.feature_names
    if names is not None:  # the converter reads features by number
        booster.feature_names = [f"f{i}" for i in range(len(names))]
    try:
        model = onnxmltools.convert_xgboost(raw, initial_types=[("X", FloatTensorType([None, original.width]))], target_opset=NEWEST_OPSET)
    finally:
        booster.feature_names = names
    model = graph.fit(model, _picks(original, model), original.answer)
    return _feed(original, model)


def catboost(original):
    _numbers(original)
    onnx = need("onnx", "onnx")

    def export():
        path = os.path.join(original.out, "catboost.onnx")
        original.raw.save_model(path, format="onnx")
        model = onnx.load(path)
        os.remove(path)
        model.ir_version = max(model.ir_version, 8)  # in the one that it writes, constants had to be inputs too
        _without_maps(onnx, model)
        _renamed(model, "predictions")  # the answer's own name
        model = graph.fit(model, _picks(original, model), original.answer)
        return _feed(original, model)

    return [("one matrix of float", export)]


def _without_maps(onnx, model):
    """Makes a ZipMap's input the output: the probabilities as a matrix."""
    for node in model.graph.node:
        if node.op_type == "ZipMap":
            for i, value in enumerate(model.graph.output):
                if value.name == node.output[0]:
                    model.graph.output[i].CopyFrom(onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, ["rows", None]))


def _renamed(model, name):
    """Gives a value of the graph another name."""
    other = f"catboost_{name}"
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [other if n == name else n for n in names]
    for value in model.graph.output:
        if value.name == name:
            value.name = other


def _feed(original, model):
    from .estimators import stacked

    return graph.feed(model, [("X", stacked(original), (original.width,))])


def _numbers(original):
    if not original.numeric():
        raise NotConvertible("a column of texts is a category to this model, which its converter does not know")


def _picks(original, model):
    """Which output is the answer: labels where the original answers labels, one class's probability, all of them, or the only value."""
    answer = original.answer
    if answer.form != "bare":
        raise NotConvertible("the original answers a frame")
    column, outputs = answer.columns[0], len(model.graph.output)
    estimator = hasattr(original.raw, "classes_") and type(original.raw).__name__ not in ("Booster",)
    if outputs == 1 or estimator:
        return [graph.Pick(0)]
    if len(column["shape"]) == 1 and column["kind"] == "float":
        return [graph.Pick(1, column=1)]
    return [graph.Pick(1 if column["kind"] == "float" else 0)]
