"""An answer of pyfunc's predict, as far as ONNX can give it."""

import numpy as np
import pandas as pd

from .verdict import NotConvertible


class Answer:
    """An answer of pyfunc's predict as columns: [{name, kind, shape, values}] with values flattened."""

    def __init__(self, form, columns, dtypes):
        self.form, self.columns, self.dtypes = form, columns, dtypes
        self.ranks = [len(c["shape"]) for c in columns]

    @classmethod
    def of(cls, value, count, deepest=2):
        """Takes arrays of up to `deepest` axes, the first of which counts the rows."""
        if isinstance(value, pd.DataFrame):
            named = [(str(name), value.iloc[:, i]) for i, name in enumerate(value.columns)]
            return cls._from("table", named, count, deepest)
        if isinstance(value, dict):
            return cls._from("named", list(value.items()), count, deepest)
        if isinstance(value, (np.ndarray, pd.Series, list)):
            return cls._from("bare", [("", value)], count, deepest)
        raise NotConvertible(f"the original answers {type(value).__name__}, which is neither an array nor a frame")

    @classmethod
    def _from(cls, form, named, count, deepest):
        columns, dtypes = [], []
        for name, value in named:
            array = np.asarray(value)
            if array.dtype.kind in "OUT":
                flat = array.ravel().tolist()
                if not all(isinstance(v, str) for v in flat):
                    raise NotConvertible("the original answers objects")
                array = np.array(flat, dtype=object).reshape(array.shape)
            if not 1 <= array.ndim <= deepest or array.shape[0] != count:
                raise NotConvertible(f"the original answers {array.shape} to {count} rows, not one answer a row")
            kind = {"b": "bool", "i": "int", "u": "int", "f": "float", "O": "text"}.get(array.dtype.kind)
            if kind is None:
                raise NotConvertible(f"the original answers {array.dtype}")
            columns.append({"name": str(name), "kind": kind, "shape": list(array.shape), "values": [plain(v) for v in array.ravel().tolist()]})
            dtypes.append(array.dtype)
        return cls(form, columns, dtypes)


def plain(value):
    """JSON has no NaN and no infinities; the gateway reads null as NaN and texts as what they say."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return value
