"""One worker: loads one MLflow model and answers predictions over the socket that it inherits as file descriptor 3.

It is written for the standard library and for what the model's environment has (mlflow from 2.x on, pandas, numpy). The frames are those of
frame.go. It trusts its parent and nobody trusts it: whatever it sends is checked there.
"""

import faulthandler
import inspect
import json
import os
import signal
import socket
import struct
import sys
import traceback

HEADER = struct.Struct("<4sB3xQqIIQ")
MAGIC = b"SLW1"
LOAD, PREDICT, PING = 1, 2, 3
LOADED, ANSWER, PONG, FAILED = 17, 18, 19, 20

# The client's mistakes, by the codes of MLflow's exceptions.
CLIENT_CODES = {"BAD_REQUEST", "INVALID_PARAMETER_VALUE"}
TRACE_LIMIT = 16 << 10


class Interrupted(BaseException):
    """The parent has sent SIGINT: nobody waits for the answer any more. A BaseException, so that a model's `except Exception` lets it through."""


class Pipe:
    """The framed connection to the parent."""

    def __init__(self, sock):
        self.sock = sock

    def receive(self):
        """The next frame as (kind, id, rows, head, extra, body), or None at the end."""
        header = self._exactly(HEADER.size)
        if header is None:
            return None
        magic, kind, number, rows, head, extra, body = HEADER.unpack(header)
        if magic != MAGIC:
            raise ConnectionError("the parent sent garbage")
        return kind, number, rows, bytes(self._exactly(head)), bytes(self._exactly(extra)), self._exactly(body)

    def _exactly(self, size):
        data = bytearray(size)
        view = memoryview(data)
        while view:
            n = self.sock.recv_into(view)
            if n == 0:
                return None
            view = view[n:]
        return data

    def send(self, kind, number, head=b"", extra=b"", parts=(), rows=0):
        size = sum(len(p) for p in parts)
        first = HEADER.pack(MAGIC, kind, number, rows, len(head), len(extra), size) + head + extra
        if size < 1 << 16:
            self.sock.sendall(first + b"".join(parts))
            return
        self.sock.sendall(first)
        for part in parts:
            self.sock.sendall(part)


def limit(limits):
    """Bounds that the model cannot lift again; what the system lacks is left out by the parent."""
    if limits.get("nice"):
        os.nice(limits["nice"])
    try:
        import resource
    except ImportError:
        return
    for name, value in (("RLIMIT_DATA", limits.get("memory")), ("RLIMIT_NOFILE", limits.get("files")), ("RLIMIT_CORE", 0)):
        if value is None or not hasattr(resource, name):
            continue
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))


class Layout:
    """How the columns of a request lie in its body, compiled once per text (see layout.go)."""

    def __init__(self, text, served):
        import numpy as np

        spec = json.loads(text)
        self.form = spec["form"]
        self.columns = [Column(np, *entry) for entry in spec["columns"]]
        self.names = [c.name for c in self.columns]
        self.direct = served.fits(self)
        self.block = None
        plain = self.form == "table" and self.columns and all(c.plain() for c in self.columns)
        if plain and len({c.type for c in self.columns}) == 1:
            self.block = self.columns[0].dtype
        self.index = None
        if self.form == "table":
            import pandas as pd

            numbered = served.unnamed and self.names == [str(i) for i in range(len(self.names))]
            self.index = pd.RangeIndex(len(self.names)) if numbered else pd.Index(self.names)
            if not self.names:
                self.index = pd.Index([])
        self.object_names = served.object_names if self.form != "table" else ()

    def data(self, rows, body):
        """What pyfunc gets: a DataFrame, a dict of arrays or one array."""
        if self.form == "table":
            return self._frame(rows, body)
        import numpy as np

        at, arrays = 0, {}
        for c in self.columns:
            value, at = c.read(np, rows, body, at)
            if isinstance(value, list):
                value = np.array(value, dtype=object if c.name in self.object_names else None)
                value = value.reshape(c.shape(rows))
            arrays[c.name] = value
        return arrays if self.form == "named" else arrays[self.names[0]]

    def _frame(self, rows, body):
        import numpy as np
        import pandas as pd

        if self.block is not None:
            values = np.frombuffer(body, self.block, rows * len(self.columns)).reshape(len(self.columns), rows)
            return pd.DataFrame(values.T, columns=self.index, copy=False)
        at, data = 0, {}
        for i, c in enumerate(self.columns):
            value, at = c.read(np, rows, body, at)
            if isinstance(value, list):
                value = value or np.empty(0, dtype=object)  # pandas takes an empty list for numbers
            elif value.ndim != 1:
                value = value.tolist()
            data[i] = value
        frame = pd.DataFrame(data, index=pd.RangeIndex(rows), copy=False)
        frame.columns = self.index
        return frame


class Column:
    """One column of a layout."""

    def __init__(self, np, name, kind, dims, flags):
        self.name, self.type, self.dims = name, kind, dims
        self.json, self.whole = bool(flags & 1), bool(flags & 2)
        self.text = kind in ("str", "bytes")
        self.dtype = None if self.text else np.dtype(kind)

    def plain(self):
        return not self.text and not self.dims and not self.whole

    def shape(self, rows):
        return tuple(self.dims) if self.whole else (rows, *self.dims)

    def read(self, np, rows, body, at):
        """The column's values, as an array or (text) a flat list, and where the next column begins."""
        shape = self.shape(rows)
        count = 1
        for d in shape:
            count *= d
        if self.text:
            return self._texts(np, count, body, at)
        size = self.dtype.itemsize
        at = -(-at // size) * size
        values = np.frombuffer(body, self.dtype, count, at) if count else np.empty(0, self.dtype)
        return values.reshape(shape), at + count * size

    def _texts(self, np, count, body, at):
        at = -(-at // 4) * 4
        ends = np.frombuffer(body, np.uint32, count, at).tolist() if count else []
        at += 4 * count
        blob = bytes(memoryview(body)[at : at + (ends[-1] if ends else 0)])
        values, start = [], 0
        for end in ends:
            values.append(blob[start:end])
            start = end
        if self.type == "str":
            values = [v.decode("utf-8", "replace") for v in values]
        if self.json:
            values = [json.loads(v) for v in values]
        return values, at + len(blob)


class Served:
    """The loaded model."""

    def __init__(self, path):
        import mlflow.models
        import mlflow.pyfunc

        backend = (mlflow.models.Model.load(path).flavors.get("keras") or {}).get("keras_backend")
        if backend:  # Keras would take another one, or none, as MLflow does not tell it
            os.environ["KERAS_BACKEND"] = backend
        self.model = mlflow.pyfunc.load_model(path)
        self.layouts = {}
        meta = self.model.metadata
        self.schema = meta.get_input_schema()
        params = meta.get_params_schema() if hasattr(meta, "get_params_schema") else None
        self.params = [p.name for p in params.params] if params else []
        self.takes_params = "params" in inspect.signature(self.model.predict).parameters
        self.unnamed = self.schema is None or not self.schema.has_input_names()
        self.object_names = self._object_names()
        self.shortcut = self._shortcut(meta)

    def _object_names(self):
        if self.schema is None or not self.schema.is_tensor_spec():
            return ()
        return {s.name or "" for s in self.schema.inputs if s.type == object}

    def _shortcut(self, meta):
        """The model's own predict, for requests whose schema the parent has enforced already; None where MLflow does more than enforce it."""
        function = getattr(self.model, "_predict_fn", None)
        for special in ("_is_signature_from_type_hint", "_is_type_hint_from_example"):
            if hasattr(meta, special) and getattr(meta, special)():
                return None
        if function is None or self.schema is None or self.params or type(self.model).__name__ != "PyFuncModel":
            return None
        try:
            params = inspect.signature(function).parameters.get("params")
        except (TypeError, ValueError):
            return None
        if params is not None and params.kind != inspect.Parameter.VAR_KEYWORD:
            return lambda data: function(data, params=None)
        return function

    def fits(self, layout):
        """Whether a request of this layout is exactly what the input schema declares, so that MLflow's enforcement would change nothing."""
        if self.shortcut is None or len(layout.columns) != len(self.schema.inputs):
            return False
        return all(self._same(layout, c, s) for c, s in zip(layout.columns, self.schema.inputs))

    def _same(self, layout, column, spec):
        if column.text or column.json or (spec.name is not None and spec.name != column.name):
            return False
        if self.schema.is_tensor_spec():
            return layout.form != "table" and column.dtype == spec.type
        scalar = getattr(spec.type, "name", None) in ("boolean", "integer", "long", "float", "double")
        return layout.form == "table" and column.plain() and scalar and column.dtype == spec.type.to_pandas()

    def layout(self, text):
        found = self.layouts.get(text)
        if found is None:
            if len(self.layouts) >= 256:
                self.layouts.clear()
            found = self.layouts[text] = Layout(text, self)
        return found

    def predict(self, layout, data, params):
        if layout.direct and not params:
            return self.shortcut(data)
        if self.takes_params:
            return self.model.predict(data, params=params or None)
        return self.model.predict(data)


class Answers:
    """Turns what pyfunc answers into frames; the JSON texts among them are those of MLflow's scoring server, but null for NaN, NaT and NA."""

    def __init__(self):
        import numpy as np
        import pandas as pd
        from mlflow.utils.proto_json_utils import NumpyEncoder, _get_jsonable_obj

        self.np, self.pd, self.jsonable = np, pd, _get_jsonable_obj

        class Encoder(NumpyEncoder):
            def default(self, o):
                if o is pd.NaT or o is getattr(pd, "NA", None):
                    return None
                return super().default(o)

        self.encoder = Encoder

    def text(self, value):
        try:
            return json.dumps(value, cls=self.encoder, allow_nan=False)
        except ValueError:
            loose = json.dumps(value, cls=self.encoder)
            return json.dumps(json.loads(loose, parse_constant=lambda _: None))

    def encode(self, result):
        """An answer as (head, rows, parts of the body)."""
        np, pd = self.np, self.pd
        if isinstance(result, pd.Series):
            result = pd.DataFrame(result)
        if isinstance(result, np.ndarray) and self._direct(result.dtype) and result.ndim > 0:
            return self._pack("bare", [("", result)], len(result))
        if isinstance(result, pd.DataFrame) and len(result.columns) and result.columns.is_unique:
            return self._table(result)
        if type(result) is dict and result and all(type(k) is str and self._tensor(v) for k, v in result.items()):
            rows = {len(v) for v in result.values()}
            return self._pack("named", list(result.items()), rows.pop() if len(rows) == 1 else -1)
        if isinstance(result, np.ndarray) and result.ndim > 0:
            result = result.tolist()
        if type(result) is list:
            return self._list(result)
        return self._raw(result)

    def _direct(self, dtype):
        return dtype.kind in "biuf" and dtype.itemsize <= 8 and dtype.isnative

    def _tensor(self, v):
        return isinstance(v, self.np.ndarray) and v.ndim > 0 and self._direct(v.dtype)

    def _raw(self, result):
        text = self.text(self.jsonable(result, pandas_orient="records"))
        return self._pack("bare", [("", [text], True, [])], -1)

    def _list(self, values):
        kinds = {type(v) for v in values}
        if kinds == {str}:
            return self._pack("bare", [("", values, False)], len(values))
        if kinds == {float} or kinds == {bool}:
            return self._pack("bare", [("", self.np.array(values))], len(values))
        if kinds == {int}:
            array = self.np.array(values)
            if array.dtype == self.np.int64:
                return self._pack("bare", [("", array)], len(values))
        return self._pack("bare", [("", [self.text(v) for v in values], True)], len(values))

    def _table(self, frame):
        columns = []
        for name, series in frame.items():
            label = self._key(name)
            if label is None:
                return self._raw(frame)
            columns.append((label, *self._column(series)))
        if len({c[0] for c in columns}) != len(columns):
            return self._raw(frame)
        return self._pack("table", columns, len(frame))

    def _column(self, series):
        dtype = series.dtype
        if isinstance(dtype, self.np.dtype):
            if self._direct(dtype):
                return (series.to_numpy(),)
            if dtype == self.np.dtype("M8[ns]"):
                return (series.to_numpy(),)
        values = series.tolist()
        if values and all(type(v) is str for v in values):
            return values, False
        return [self.text(v) for v in values], True

    def _key(self, name):
        """A column's name as JSON's keys are written; None for one that only the encoder can judge."""
        if type(name) is str:
            return name
        if type(name) is bool or not isinstance(name, (int, self.np.integer)):
            return None
        return str(int(name))

    def _pack(self, form, columns, rows):
        layout, parts, at = [], [], 0
        for name, values, *rest in columns:
            if isinstance(values, list):
                flags = 1 if rest[0] else 0
                dims = rest[1] if len(rest) > 1 else None
                entry = [name, "str", [], flags] if dims is None else [name, "str", dims, flags | 2]
                at = self._texts(values, parts, at)
            else:
                whole = rows < 0 or len(values) != rows
                entry = [name, self._name(values.dtype), list(values.shape if whole else values.shape[1:]), 2 if whole else 0]
                at = self._array(values, parts, at)
            layout.append(entry)
        return json.dumps({"form": form, "columns": layout}).encode(), rows, parts

    def _name(self, dtype):
        return "datetime64[ns]" if dtype.kind == "M" else dtype.name

    def _align(self, parts, at, size):
        gap = -at % size
        if gap:
            parts.append(b"\0" * gap)
        return at + gap

    def _array(self, values, parts, at):
        at = self._align(parts, at, values.dtype.itemsize)
        raw = values.tobytes()
        parts.append(raw)
        return at + len(raw)

    def _texts(self, values, parts, at):
        at = self._align(parts, at, 4)
        blobs = [v.encode("utf-8", "surrogatepass") for v in values]
        ends, end = [], 0
        for b in blobs:
            end += len(b)
            ends.append(end)
        raw = struct.pack("<%dI" % len(ends), *ends) + b"".join(blobs)
        parts.append(raw)
        return at + len(raw)


class Worker:
    def __init__(self, pipe):
        self.pipe, self.served, self.answers, self.busy = pipe, None, None, False
        signal.signal(signal.SIGINT, self.interrupt)

    def interrupt(self, *_):
        if self.busy:
            self.busy = False
            raise Interrupted()

    def run(self):
        while True:
            frame = self.pipe.receive()
            if frame is None:
                return
            kind, number, rows, head, extra, body = frame
            if kind == PING:
                self.pipe.send(PONG, number)
            elif kind == LOAD:
                self.reply(number, self.load, head)
            elif kind == PREDICT:
                self.reply(number, self.predict, rows, head, extra, body)

    def reply(self, number, work, *args):
        try:
            try:
                self.busy = True
                kind, head, rows, parts = work(*args)
            finally:
                self.busy = False
        except Interrupted:
            kind, head, rows, parts = FAILED, json.dumps({"kind": "interrupted", "message": "interrupted"}).encode(), 0, ()
        except BaseException as e:  # SystemExit and KeyboardInterrupt of the model's own too: they end a prediction, not the worker
            kind, head, rows, parts = FAILED, failure(e), 0, ()
        self.pipe.send(kind, number, head, parts=parts, rows=rows)

    def load(self, head):
        order = json.loads(head)
        limit(order["limits"])
        self.served = Served(order["path"])
        self.answers = Answers()
        import mlflow

        told = {"mlflow": mlflow.__version__, "python": sys.version.split()[0]}
        return LOADED, json.dumps(told).encode(), 0, ()

    def predict(self, rows, head, extra, body):
        layout = self.served.layout(head)
        params = json.loads(extra) if extra else {}
        params = {name: params[name] for name in self.served.params if name in params}
        result = self.served.predict(layout, layout.data(rows, body), params)
        head, rows, parts = self.answers.encode(result)
        return ANSWER, head, rows, parts


def failure(e):
    """A FAILED frame's head. Messages of MLflow's own exceptions with a client's code are the client's; want of memory may be a leak's doing."""
    code = getattr(e, "error_code", None)
    mine = type(e).__module__.startswith("mlflow.") and code in CLIENT_CODES
    message = getattr(e, "message", None) if mine else None
    trace = "".join(traceback.format_exception(type(e), e, e.__traceback__))
    return json.dumps({
        "kind": "input" if mine else "memory" if isinstance(e, MemoryError) else "model",
        "message": (message or "%s: %s" % (type(e).__name__, e))[:TRACE_LIMIT],
        "trace": trace[-TRACE_LIMIT:],
    }).encode()


def main():
    faulthandler.enable()
    sock = socket.socket(fileno=3)
    os.set_inheritable(3, False)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: os.close(3))
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
    Worker(Pipe(sock)).run()


if __name__ == "__main__":
    main()
