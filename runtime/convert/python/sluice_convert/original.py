"""The model as it was logged: what it is fed, what it answers, and what it refuses."""

import json
import os

import numpy as np
import pandas as pd

from . import rows as generated
from .answer import Answer, plain
from .logged import Logged, walk
from .verdict import NotConvertible

MAX_PROBED = 512  # columns that are asked one by one whether they may be NaN
MAX_REFUSED = 64  # generated rows that the original may refuse

DTYPES = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64", "string": "object"}


class Original(Logged):
    """A model of rows: one matrix of numbers, or a frame of numbers and texts."""

    def __init__(self, folder, out, row_count, seed):
        super().__init__(folder)
        self.out, self.row_count = out, row_count
        self.random = np.random.default_rng(seed)
        self.names = [s.name for s in self.specs]
        self.types = [self._type(s) for s in self.specs]

    def _type(self, spec):
        if self.tensor:
            if len(self.specs) > 1 or spec.name:
                raise NotConvertible("the signature names tensors, which only a converter of neural networks could map")
            if len(spec.shape) != 2 or spec.shape[0] != -1 or spec.shape[1] < 1:
                raise NotConvertible(f"the signature's tensor of shape {tuple(spec.shape)} is not a matrix of rows")
            if spec.type.kind not in "fiub":
                raise NotConvertible(f"the signature's tensor is of type {spec.type}")
            return spec.type.name
        name = getattr(spec.type, "name", str(spec.type))
        if name not in DTYPES:
            raise NotConvertible(f"column {spec.name!r} is of type {name}, which ONNX does not have")
        return name

    @property
    def width(self):
        """Numbers a row where the input is one matrix."""
        return int(self.specs[0].shape[1]) if self.tensor else len(self.specs)

    def numeric(self):
        return all(t != "string" for t in self.types)

    def frame(self, columns):
        """Lists by position as a request would bring them."""
        if self.tensor:
            return np.column_stack(columns).astype(self.types[0])
        data = {i: pd.Series(list(c), dtype=DTYPES[t]) for i, (c, t) in enumerate(zip(columns, self.types, strict=True))}
        frame = pd.DataFrame(data)
        frame.columns = self.names if self.names[0] is not None else range(len(self.names))
        return frame

    def column_types(self):
        return [self.types[0]] * self.width if self.tensor else self.types

    def example(self):
        """The rows of the input example as lists by position; None without one."""
        value = super().example()
        if isinstance(value, pd.DataFrame) and not self.tensor and (self.names[0] is None or set(self.names) <= set(value.columns)):
            picked = value if self.names[0] is None else value[self.names]
            return [picked.iloc[:, i].tolist() for i in range(len(self.names))]
        if isinstance(value, np.ndarray) and self.tensor and value.ndim == 2 and value.shape[1] == self.width:
            return [value[:, i].tolist() for i in range(self.width)]
        return None

    def predict(self, columns):
        return self.pyfunc.predict(self.frame(columns))

    def accepts(self, columns):
        try:
            self.predict(columns)
        except Exception:
            return False
        return True

    def examine(self):
        """Writes rows.json and answers.json, and returns what the gateway has to know about the original."""
        pool = generated.Pool(self)
        base = pool.base()
        try:
            self.predict(base)
        except Exception as error:
            raise NotConvertible(f"the original does not answer its own example: {type(error).__name__}: {error}"[:500]) from None
        guards = self._guards(base)
        pool.with_missing = [g["nan"] for g in guards]
        unknown = self._unknown_texts(base)
        pool.only = {i: self._known_texts(base, i, pool.candidates(i)) for i in unknown}
        made, refused = self._split(pool.rows(self.row_count))
        refused += unknown.values()
        answer = Answer.of(self.predict(made), len(made[0]))
        self.answer = answer
        self._write("rows.json", made)
        if refused:
            self._write("refused.json", [list(c) for c in zip(*refused, strict=True)])
        with open(os.path.join(self.out, "answers.json"), "w", encoding="utf-8") as file:
            json.dump(answer.columns, file)
        return {"form": answer.form, "ranks": answer.ranks, "rows": len(made[0]), "refused": len(refused), "guards": guards, "tensor": self.tensor}

    def _write(self, name, columns):
        table = [list(r) for r in zip(*columns, strict=True)]
        document = {"inputs": table} if self.tensor else {"columns": [n if n is not None else i for i, n in enumerate(self.names)], "data": table}
        with open(os.path.join(self.out, name), "w", encoding="utf-8") as file:
            json.dump(document, file, default=plain)

    def _guards(self, base):
        """Which columns may hold NaN and infinities: asked of the original, one column at a time."""
        types = self.column_types()
        guards = [{"nan": False, "inf": False} for _ in types]
        floats = [i for i, t in enumerate(types) if t in ("float", "double", "float32", "float64")]
        one = [c[:1] for c in base]
        for key, value in (("nan", float("nan")), ("inf", float("inf"))):
            if floats and not self.tensor and len(floats) <= MAX_PROBED:
                for i in floats:
                    guards[i][key] = self.accepts([[value] if j == i else c for j, c in enumerate(one)])
            elif floats:
                every = self.accepts([[value] if j in floats else c for j, c in enumerate(one)])
                for i in floats:
                    guards[i][key] = every
        return guards

    def _unknown_texts(self, base):
        """By column in which the original refuses a text that it never saw, a row with one."""
        refused = {}
        one = [c[0] for c in base]
        for i, t in enumerate(self.column_types()):
            if t == "string":
                row = [generated.UNKNOWN if j == i else v for j, v in enumerate(one)]
                if not self.accepts([[v] for v in row]):
                    refused[i] = row
        return refused

    def _known_texts(self, base, i, texts):
        """The texts that the original takes in column i."""
        columns = [list(texts) if j == i else [c[0]] * len(texts) for j, c in enumerate(base)]
        return self._walk(columns, len(texts))[0][i]

    def _split(self, columns):
        """The rows that the original answers, as columns, and those that it refuses, as rows."""
        kept, refused = self._walk(columns, MAX_REFUSED)
        if len(refused) >= MAX_REFUSED or not kept[0]:
            raise NotConvertible("the original refuses most rows made from its signature: log it with an input example")
        return kept, refused

    def _walk(self, columns, most):
        """The rows that the original answers, as columns, and those that it refuses, as rows."""
        kept, refused = walk(columns, most, self.accepts)
        return [[c[at] for at in kept] for c in columns], [[c[at] for c in columns] for at in refused]
