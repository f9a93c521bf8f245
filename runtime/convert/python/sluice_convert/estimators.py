"""scikit-learn's estimators and pipelines, by skl2onnx; with LightGBM's and XGBoost's inside them, by onnxmltools."""

import numpy as np

from . import graph
from .rows import parts
from .verdict import NotConvertible, need

ML_OPSET = 3
NEWEST_OPSET = 20  # of the operators outside ai.onnx.ml
# Python's \w, written for the regular expressions of ONNX Runtime, whose \w knows only ASCII.
WORDS = {r"(?u)\b\w\w+\b": r"[\p{L}\p{N}_][\p{L}\p{N}_]+", r"(?u)\b\w+\b": r"[\p{L}\p{N}_]+"}


def ways(original):
    need("onnx", "onnx")
    need("skl2onnx", "skl2onnx")
    register()
    function = original.flavor("python_function").get("predict_fn", "predict")
    picks = picks_of(original.raw, function)
    found = []
    for precision in ("float", "double"):
        if original.numeric():
            found.append((f"one matrix of {precision}", lambda p=precision: matrix(original, p, picks)))
        if not original.tensor and original.names[0] is not None:
            found.append((f"columns of {precision}", lambda p=precision: columns(original, p, False, picks)))
            if {"long", "integer"} & set(original.types):
                found.append((f"columns of {precision} and integers", lambda p=precision: columns(original, p, True, picks)))
    return found


def picks_of(estimator, function):
    if function == "predict":
        return [graph.Pick(0)]
    if function == "predict_proba":
        return [graph.Pick(1)]
    if function == "predict_log_proba":
        return [graph.Pick(1, operator="Log")]
    raise NotConvertible(f"predict_fn {function} has no counterpart in ONNX")


def matrix(original, precision, picks):
    kind = _tensor_type(precision)
    model = convert(original, [("X", kind([None, original.width]))])
    model = graph.fit(model, picks, original.answer)
    return graph.feed(model, [("X", stacked(original), (original.width,))])


def stacked(original):
    """The signature type of a frame's values as one matrix, as the gateway stacks them (numpy's promotion)."""
    if original.tensor:
        return original.types[0]
    numpy_types = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
    return stacked_types([numpy_types[t] for t in original.types])


def stacked_types(names):
    """The type of a matrix that is made of columns of these."""
    if "bool" in names and set(names) != {"bool"}:
        raise ValueError("booleans beside numbers make no matrix")
    return np.result_type(*names).name


def columns(original, precision, integers, picks):
    from skl2onnx.common.data_types import BooleanTensorType, Int64TensorType, StringTensorType

    number = _tensor_type(precision)
    kinds = {"string": StringTensorType, "boolean": BooleanTensorType}
    if integers:
        kinds |= {"long": Int64TensorType, "integer": Int64TensorType}
    wanted = [(name, kinds.get(kind, number)([None, 1])) for name, kind in zip(original.names, original.types, strict=True)]
    model = convert(original, wanted)
    model = graph.fit(model, picks, original.answer)
    inputs = {v.name for v in model.graph.input}
    missing = [n for n in original.names if n not in inputs]
    if missing:
        raise ValueError(f"the converter lost or renamed the inputs {missing[:5]}")
    kinds = dict(zip(original.names, original.types, strict=True))
    return graph.feed(model, [(v.name, kinds[v.name], (1,)) for v in model.graph.input])


def _tensor_type(precision):
    from skl2onnx.common import data_types

    return {"float": data_types.FloatTensorType, "double": data_types.DoubleTensorType}[precision]


def convert(original, initial_types):
    import onnx
    import skl2onnx

    newest = min(onnx.defs.onnx_opset_version(), NEWEST_OPSET)
    with graph.Trees():
        model = skl2onnx.convert_sklearn(
            original.raw, initial_types=initial_types, options=options(original.raw), target_opset={"": newest, "ai.onnx.ml": ML_OPSET}
        )
    missing_values(model, original.raw)
    graph.everywhere_locale(model)
    return model


def missing_values(model, raw):
    """Lets trees send NaN where scikit-learn sends it, which the converter leaves out: to the child that the tree learned."""
    nodes = [n for n in model.graph.node if n.op_type.startswith("TreeEnsemble")]
    if len(nodes) != 1:
        return
    fields = {a.name: a for a in nodes[0].attribute}
    for part in parts(raw):
        trees = [t.tree_ for t in np.ravel(part.estimators_) if hasattr(t, "tree_")] if hasattr(part, "estimators_") else [getattr(part, "tree_", None)]
        if not trees or trees[0] is None or not hasattr(trees[0], "missing_go_to_left"):
            continue
        if sum(t.node_count for t in trees) == len(fields["nodes_treeids"].ints):
            ways = [int(trees[t].missing_go_to_left[n]) for t, n in zip(fields["nodes_treeids"].ints, fields["nodes_nodeids"].ints, strict=True)]
            del fields["nodes_missing_value_tracks_true"].ints[:]
            fields["nodes_missing_value_tracks_true"].ints.extend(ways)
            return


def options(estimator):
    from sklearn.base import is_classifier
    from sklearn.feature_extraction.text import CountVectorizer

    chosen = {}
    if is_classifier(estimator):
        chosen[id(estimator)] = {"zipmap": False}
    for part in parts(estimator):
        if isinstance(part, CountVectorizer) and part.token_pattern in WORDS and part.tokenizer is None:
            chosen[id(part)] = {"tokenexp": WORDS[part.token_pattern]}
    return chosen


def register():
    """Teaches skl2onnx the estimators of LightGBM and XGBoost that are there, if onnxmltools is."""
    import skl2onnx
    from skl2onnx.common import shape_calculator as shapes

    try:
        import onnxmltools  # noqa: F401
    except ImportError:
        return
    try:
        from lightgbm import LGBMClassifier, LGBMRegressor
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        skl2onnx.update_registered_converter(
            LGBMClassifier, "LightGbmLGBMClassifier", shapes.calculate_linear_classifier_output_shapes, convert_lightgbm,
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        )  # fmt: skip
        skl2onnx.update_registered_converter(LGBMRegressor, "LightGbmLGBMRegressor", shapes.calculate_linear_regressor_output_shapes, convert_lightgbm, options={"split": None})
    except ImportError:
        pass
    try:
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from xgboost import XGBClassifier, XGBRegressor

        skl2onnx.update_registered_converter(
            XGBClassifier, "XGBoostXGBClassifier", shapes.calculate_linear_classifier_output_shapes, convert_xgboost,
            options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
        )  # fmt: skip
        skl2onnx.update_registered_converter(XGBRegressor, "XGBoostXGBRegressor", shapes.calculate_linear_regressor_output_shapes, convert_xgboost)
    except ImportError:
        pass
