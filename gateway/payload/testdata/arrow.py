"""Writes the same tables as Parquet and as Arrow streams, one JSON line each: {"name", "parquet", "arrow"}, bodies in Base64; "parquet" is
null where Parquet cannot say it. "values" are what a list column holds."""

import base64
import io
import json
import os
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def stream(table, **options):
    out = io.BytesIO()
    size = options.pop("rows", None)
    with pa.ipc.new_stream(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=size)
    return out.getvalue()


def parquet(table):
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def emit(name, table, twin=True, values=None, **options):
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table)
    line = {"name": name, "parquet": None, "arrow": base64.b64encode(stream(table, **options)).decode(), "values": values}
    if twin:
        line["parquet"] = base64.b64encode(parquet(table)).decode()
    print(json.dumps(line))


rng = np.random.default_rng(1)
numbers = pd.DataFrame({"a": np.arange(300) / 7, "b": np.arange(300) - 150})
emit("numbers", numbers)
emit("many batches", numbers, rows=37)
emit("batches of one", numbers.iloc[:9], rows=1)
emit("zstd", numbers, compression="zstd")
emit("zstd in batches", numbers, compression="zstd", rows=100)
emit("lz4", numbers, compression="lz4", twin=False)
emit("old framing", numbers, use_legacy_format=True)
emit("old metadata", numbers, metadata_version=pa.ipc.MetadataVersion.V4)
emit("empty", numbers.iloc[:0])
emit("no columns", pd.DataFrame())
emit("indexed", numbers.iloc[::-1].iloc[:5])
for kind in ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]:
    emit(kind, pd.DataFrame({"a": rng.integers(0, 2 if kind == "bool" else 100, 21).astype(kind)}), rows=9)
emit("negative", pa.table({"a": pa.array([-1, -128], pa.int8()), "b": pa.array([-1, -32768], pa.int16()), "c": pa.array([-1, -(2**31)], pa.int32())}))
emit("largest", pa.table({"a": pa.array([2**64 - 1, 0], pa.uint64()), "b": pa.array([2**63 - 1, -(2**63)], pa.int64())}))
emit("special floats", pa.table({"a": pa.array([float("nan"), float("inf"), -0.0, 5e-324])}))
for kind in [pa.int8(), pa.int32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64()]:
    emit(f"nulls in {kind}", pa.table({"a": pa.array([1, None, 3] * 7, kind)}), rows=5)
emit("nulls in some batches", pa.table({"a": pa.array([1, 2, 3, 4, None, 6], pa.int64())}), rows=3)
emit("nulls in bools", pa.table({"a": pa.array([True, None, False])}))
emit("nulls in text", pa.table({"a": pa.array(["x", None, "y"])}))
emit("sliced", pa.table({"a": pa.array([1, None, 3, 4, 5, None, 7, 8, 9, 10], pa.int64()), "t": pa.array(list("abcdefghij"))}).slice(3, 5))
emit("sliced bools", pa.table({"a": pa.array([True, False] * 10)}).slice(3, 11))
emit("text", pd.DataFrame({"a": ["x", "é😀", "", "x", "x"] * 5}), rows=4)
emit("large text", pa.table({"a": pa.array(["x", "é😀", ""], pa.large_string())}))
emit("text zstd", pd.DataFrame({"a": ["x" * 1000, "y"]}), compression="zstd")
emit("categories", pd.DataFrame({"a": pd.Categorical(["x", "y", "x"])}))
emit("dictionary of nulls", pa.table({"a": pa.array(["x", None, "y"]).dictionary_encode()}))
for index in [pa.uint8(), pa.int16(), pa.int64()]:
    indices = pa.array([0, 1, 1, 0], index)
    emit(f"dictionary by {index}", pa.table({"a": pa.DictionaryArray.from_arrays(indices, pa.array(["p", "q"]))}), rows=2)
emit("bytes", pd.DataFrame({"a": [b"\x00\x01", b"abc", b""]}))
emit("large bytes", pa.table({"a": pa.array([b"\x00", b"abc"], pa.large_binary())}))
stamps = pd.to_datetime(["2020-01-01T00:00:00.000000", "2021-02-03T04:05:06.123456"])
for unit in ["ms", "us", "ns"]:
    emit("timestamps " + unit, pd.DataFrame({"a": stamps.as_unit(unit)}))
emit("timestamps s", pa.table({"a": pa.array([0, 1577836800], pa.timestamp("s"))}))
emit("timestamps with nulls", pd.DataFrame({"a": [stamps[0], None]}))
emit("timestamps utc", pd.DataFrame({"a": stamps.tz_localize("UTC")}))
emit("dates", pa.table({"a": pa.array([18262, 0, None], pa.date32())}))
emit("dates in ms", pa.table({"a": pa.array([18262 * 86400000, 0], pa.date64())}))
emit("two", pd.DataFrame({"b": [1.0, 2.0], "x": ["u", "v"], "a": [3.5, 4.5]}))
emit("ragged lists", pd.DataFrame({"a": [[1, 2], [3]]}))
emit("all null", pa.table({"a": pa.nulls(3)}))
emit("float16", pa.table({"a": pa.array(np.array([0, 1.5, np.inf], np.float16))}), twin=False)
for kind in ["float32", "float64", "int64", "uint8", "bool"]:
    flat = rng.integers(0, 2 if kind == "bool" else 200, 60).astype(kind)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(flat), 4)
    emit(f"lists of {kind}", pa.table({"a": lists}), twin=False, values=flat.reshape(15, 4).tolist(), rows=4)
emit("lists with nulls", pa.table({"a": pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2))}), twin=False)

# Arrow's threads may outlive the interpreter and abort the process on its way out.
sys.stdout.flush()
os._exit(0)
