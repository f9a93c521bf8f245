"""A neural network as it was logged: tensors of fixed shapes in, one row a first index; or a frame whose numbers make one matrix."""

import json
import os

import numpy as np
import pandas as pd

from .answer import Answer
from .logged import Logged, walk
from .verdict import NotConvertible

MAX_EXAMPLE = 64
MAX_NUMBERS = 1_000_000  # in all rows that are compared on: they are written down as text
MAX_AXES = 8
MAX_TOP = 1 << 16  # looked for where no example says which whole numbers are meant
FRAME_TYPES = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}


class Input:
    """One input: its name (None where the signature has none), numpy's type of its numbers, and its shape without the rows."""

    def __init__(self, name, dtype, shape):
        self.name, self.dtype, self.shape = name, np.dtype(dtype), tuple(shape)
        self.size = int(np.prod(self.shape, dtype=np.int64))


class Network(Logged):
    def __init__(self, folder, out, row_count, seed):
        super().__init__(folder)
        self.out, self.random = out, np.random.default_rng(seed)
        self.inputs = [self._input(s) for s in self.specs]
        numbers = sum(i.size for i in self.inputs)
        if 2 * numbers > MAX_NUMBERS:
            raise NotConvertible(f"a row has {numbers} numbers: too many to compare answers to several")
        self.row_count = min(row_count, MAX_NUMBERS // numbers)

    def _input(self, spec):
        if not self.tensor:
            name = getattr(spec.type, "name", str(spec.type))
            if name not in FRAME_TYPES:
                raise NotConvertible(f"column {spec.name!r} is of type {name}, which a network does not take")
            return Input(spec.name, FRAME_TYPES[name], ())
        shape, label = tuple(spec.shape), f"tensor {spec.name!r}" if spec.name else "the tensor"
        if not shape or shape[0] != -1:
            raise NotConvertible(f"the signature's shape {shape} of {label} has no axis of rows, which is a first one of -1")
        if any(n < 1 for n in shape[1:]):
            raise NotConvertible(f"the signature's shape {shape} of {label} leaves an axis open besides that of the rows")
        if spec.type.kind not in "fiub":
            raise NotConvertible(f"{label} is of type {spec.type}")
        return Input(spec.name or None, spec.type, shape[1:])

    def feed(self, arrays):
        """Arrays by position as a request would bring them."""
        arrays = [np.asarray(a).astype(i.dtype) for a, i in zip(arrays, self.inputs, strict=True)]
        if not self.tensor:
            frame = pd.DataFrame(dict(enumerate(arrays)))
            frame.columns = [i.name for i in self.inputs] if self.inputs[0].name is not None else range(len(arrays))
            return frame
        if self.inputs[0].name is None:
            return arrays[0]
        return {i.name: a for i, a in zip(self.inputs, arrays, strict=True)}

    def predict(self, arrays):
        return self.pyfunc.predict(self.feed(arrays))

    def accepts(self, arrays):
        try:
            self.predict(arrays)
        except Exception:
            return False
        return True

    def arrays(self):
        """The rows of the input example as arrays by position; None without a usable one."""
        value = self.example()
        if value is None:
            return None
        try:
            if isinstance(value, pd.DataFrame):
                value = {i.name if i.name is not None else n: value[i.name if i.name is not None else n].to_numpy() for n, i in enumerate(self.inputs)}
                found = list(value.values())
            elif isinstance(value, dict):
                found = [np.atleast_1d(value[i.name]) for i in self.inputs]
            else:
                found = [np.atleast_1d(value)]
            found = [a[:MAX_EXAMPLE].astype(i.dtype) for a, i in zip(found, self.inputs, strict=True)]
        except (KeyError, TypeError, ValueError):
            return None
        if len({len(a) for a in found}) != 1 or not len(found[0]) or any(a.shape[1:] != i.shape for a, i in zip(found, self.inputs, strict=True)):
            return None
        return found

    def examine(self):
        """Writes rows.json and answers.json, and returns what the gateway has to know about the original."""
        known = self.arrays()
        self.sample = known or [self._made(i, None, 2) for i in self.inputs]
        try:
            self.predict(self.sample)
        except Exception as error:
            raise NotConvertible(f"the original does not answer {'its own example' if known else 'what its signature says'}: {type(error).__name__}: {error}"[:500]) from None
        guards = self._guards()
        known = known or self._known()
        tried = [np.concatenate(parts) for parts in zip(self._rows(known), self._beyond(known, guards), strict=True)]
        kept, refused = walk(tried, len(tried[0]), self.accepts)
        rows, refused = [a[kept] for a in tried], [a[refused] for a in tried]
        if len(kept) < 2:
            raise NotConvertible("the original refuses rows made from its signature: log it with an input example")
        self.answer = Answer.of(self.predict(rows), len(kept), MAX_AXES)
        self._write("rows.json", rows)
        if len(refused[0]):
            self._write("refused.json", refused)
        with open(os.path.join(self.out, "answers.json"), "w", encoding="utf-8") as file:
            json.dump(self.answer.columns, file)
        return {
            "form": self.answer.form, "ranks": self.answer.ranks, "rows": len(kept), "refused": len(refused[0]), "guards": guards, "tensor": self.tensor,
            "split": self.split(),
        }  # fmt: skip

    def split(self):
        """Whether the answer is a frame made of one matrix: its columns are numbered."""
        if self.answer.form != "table":
            return False
        if [c["name"] for c in self.answer.columns] != [str(i) for i in range(len(self.answer.columns))]:
            raise NotConvertible("the original answers a frame whose columns have names of their own")
        return True

    def matrix(self):
        """The answer as the network gives it: the columns of a frame are one matrix there."""
        if not self.split():
            return self.answer
        first = self.answer.columns[0]
        column = {"name": "", "kind": first["kind"], "shape": [first["shape"][0], len(self.answer.columns)]}
        return Answer("bare", [column], self.answer.dtypes[:1])

    def _rows(self, known):
        """The example's rows, and as many others as are wanted."""
        count = self.row_count
        have = [a[: count // 2] for a in known]
        return [np.concatenate([h, self._made(i, a, count - len(h))]) for i, h, a in zip(self.inputs, have, known, strict=True)]

    def _known(self):
        """Rows in an example's place: whole numbers as far up as the original takes them."""
        return [np.concatenate([a, np.full_like(a[:1], self._top(at))]) if i.dtype.kind in "iu" else np.concatenate([a, a[:1]]) for at, (i, a) in enumerate(zip(self.inputs, self.sample, strict=True))]

    def _top(self, at):
        """The largest number, up to MAX_TOP, that the original takes in an input of whole numbers."""
        most = min(MAX_TOP, int(np.iinfo(self.inputs[at].dtype).max))
        low = 1
        while 2 * low <= most and self._takes(at, 2 * low):
            low *= 2
        high = min(2 * low, most)
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (middle, high) if self._takes(at, middle) else (low, middle)
        return low

    def _made(self, i, known, count):
        """Numbers like the known ones, now and then farther apart; whole numbers within what is known, since they often are positions in a table."""
        shape = (count, *i.shape)
        if i.dtype.kind == "b":
            return self.random.integers(0, 2, shape).astype(bool)
        if i.dtype.kind in "iu":
            low, high = (int(known.min()), int(known.max())) if known is not None else (0, 1)
            return self.random.integers(low, high, shape, endpoint=True).astype(i.dtype)
        middle, spread = 0.0, 1.0
        if known is not None:
            finite = np.where(np.isfinite(known), known, 0).astype(float)
            middle, spread = finite.mean(axis=0), finite.std(axis=0)
            spread = np.where(spread > 0, spread, finite.std() or 1.0)
        wide = np.where(self.random.random((count,) + (1,) * len(i.shape)) < 0.15, 4.0, 1.0)
        made = middle + spread * wide * self.random.standard_normal(shape)
        return short(made).astype(i.dtype)

    def _guards(self):
        """What each input may not hold, asked of the original: NaN and infinities, and numbers below zero, which as positions count from the end in ONNX."""
        found = []
        for at, i in enumerate(self.inputs):
            may = {"nan": True, "inf": True}
            if i.dtype.kind == "f":
                may = {"nan": self._takes(at, np.nan), "inf": self._takes(at, np.inf)}
            elif i.dtype.kind == "i":
                may["unsigned"] = not self._takes(at, -1)
            found.append(may)
        return found

    def _takes(self, at, value):
        return self.accepts([np.full_like(a[:1], value) if n == at else a[:1] for n, a in enumerate(self.sample)])

    def _beyond(self, known, guards):
        """Rows with one input of whole numbers just out of what is known, or far out: the original may refuse them."""
        rows = [[a[:0]] for a in self.sample]
        for at, i in enumerate(self.inputs):
            if i.dtype.kind not in "iu":
                continue
            top, limits = int(known[at].max()), np.iinfo(i.dtype)
            for value in dict.fromkeys([top + 1, 1000 * (top + 1), *([] if guards[at].get("unsigned") else [-1])]):
                if limits.min <= value <= limits.max:
                    for n, a in enumerate(self.sample):
                        rows[n].append(np.full_like(a[:1], value) if n == at else a[:1])
        return [np.concatenate(r) for r in rows]

    def _write(self, name, arrays):
        lists = [self._plain(a) for a in arrays]
        if not self.tensor:
            document = {"columns": [i.name if i.name is not None else n for n, i in enumerate(self.inputs)], "data": [list(r) for r in zip(*lists, strict=True)]}
        elif self.inputs[0].name is None:
            document = {"inputs": lists[0]}
        else:
            document = {"inputs": {i.name: v for i, v in zip(self.inputs, lists, strict=True)}}
        with open(os.path.join(self.out, name), "w", encoding="utf-8") as file:
            json.dump(document, file)

    @staticmethod
    def _plain(array):
        if array.dtype.kind != "f":
            return array.tolist()
        # The shortest text that gives the same number again in the array's own width.
        texts = np.array([None if not np.isfinite(v) else float(str(v)) for v in array.ravel()], dtype=object)
        return texts.reshape(array.shape).tolist()


def short(values):
    """Numbers of four digits, so that the rows are short as text."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(values == 0, 1.0, 10.0 ** (3 - np.floor(np.log10(np.abs(values)))))
    return np.round(values * scale) / scale
