"""Writes Parquet bodies as pandas' users make them, one JSON line each: {"name": ..., "body": base64}."""

import base64
import decimal
import io
import json
import os
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def emit(name, frame, **options):
    out = io.BytesIO()
    if isinstance(frame, pa.Table):
        pq.write_table(frame, out, **options)
    else:
        frame.to_parquet(out, **options)
    print(json.dumps({"name": name, "body": base64.b64encode(out.getvalue()).decode()}))


numbers = pd.DataFrame({"a": np.arange(300) / 7, "b": np.arange(300) - 150})
for codec in ["snappy", "gzip", "zstd", "none", "brotli", "lz4"]:
    emit("codec " + codec, numbers, compression=None if codec == "none" else codec)
emit("row groups", pa.Table.from_pandas(numbers), row_group_size=37)
emit("data page v2", pa.Table.from_pandas(numbers), data_page_version="2.0")
emit("data page v2, no dictionary", pa.Table.from_pandas(numbers), data_page_version="2.0", use_dictionary=False)
emit("no dictionary", pa.Table.from_pandas(numbers), use_dictionary=False, compression="zstd")
emit("small pages", pa.Table.from_pandas(numbers), data_page_size=64, write_batch_size=10)
emit("delta", pa.table({"a": pa.array(range(50), pa.int64())}), use_dictionary=False, column_encoding={"a": "DELTA_BINARY_PACKED"})
emit("empty", numbers.iloc[:0])
emit("no columns", pd.DataFrame())
emit("indexed", numbers.iloc[::-1].iloc[:5])
for kind in ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]:
    emit(kind, pd.DataFrame({"a": np.array([0, 1, 1, 0], dtype=kind)}))
    emit(kind + " larger", pd.DataFrame({"a": np.array([0, 1, 100, 3], dtype=kind)}))
emit("float16", pd.DataFrame({"a": np.array([0, 1.5], dtype="float16")}))
emit("negative", pd.DataFrame({"a": np.array([-1, -128], dtype="int8")}))
emit("nulls in ints", pa.table({"a": pa.array([1, None, 3], pa.int64())}))
emit("nulls in int32", pa.table({"a": pa.array([1, None, 3], pa.int32())}))
emit("nulls in floats", pa.table({"a": pa.array([1.5, None, 3], pa.float64())}))
emit("nulls in float32", pa.table({"a": pa.array([1.5, None, 3], pa.float32())}))
emit("nulls in bools", pa.table({"a": pa.array([True, None, False])}))
emit("nulls in text", pa.table({"a": pa.array(["x", None, "y"])}))
emit("all null", pa.table({"a": pa.array([None, None], pa.float64())}))
emit("nulls without a type", pd.DataFrame({"a": [None, None]}, dtype=object))
emit("text", pd.DataFrame({"a": ["x", "é😀", "", "x", "x"]}))
emit("many texts", pd.DataFrame({"a": [f"value {i % 97}" for i in range(1000)]}))
emit("categories", pd.DataFrame({"a": pd.Categorical(["x", "y", "x"])}))
emit("bytes", pd.DataFrame({"a": [b"\x00\x01", b"abc", b""]}))
stamps = pd.to_datetime(["2020-01-01T00:00:00.000000", "2021-02-03T04:05:06.123456"])
for unit in ["s", "ms", "us", "ns"]:
    emit("timestamps " + unit, pd.DataFrame({"a": stamps.as_unit(unit)}))
emit("timestamps with nulls", pd.DataFrame({"a": [stamps[0], None]}))
emit("timestamps utc", pd.DataFrame({"a": stamps.tz_localize("UTC")}))
emit("dates", pa.table({"a": pa.array([18262, 0], pa.date32())}))
emit("lists", pd.DataFrame({"a": [[1, 2], [3]]}))
emit("decimals", pa.table({"a": pa.array([decimal.Decimal("1.50")], pa.decimal128(9, 2))}))
emit("two", pd.DataFrame({"b": [1.0, 2.0], "x": ["u", "v"], "a": [3.5, 4.5]}))
emit("constant bools", pd.DataFrame({"a": [True] * 100}))

# Arrow's threads may outlive the interpreter and abort the process on its way out.
sys.stdout.flush()
os._exit(0)
