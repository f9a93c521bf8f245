"""Reads the segments that TestPandasReadsSegments wrote, as DESIGN.md documents them."""

import json
import sys
import uuid
from pathlib import Path

import pandas
import pyarrow.parquet

folder = sys.argv[1]
frame = pandas.read_parquet(folder).sort_values("bucket").reset_index(drop=True)
assert len(frame) == 1000, len(frame)
assert list(frame.columns) == [
    "databricks_request_id", "client_request_id", "date", "timestamp_ms", "status_code", "sampling_fraction",
    "execution_time_ms", "request", "response", "request_binary", "response_binary", "content_type",
    "response_content_type", "truncated", "time", "endpoint", "model_name", "model_version", "stage", "arm", "rule",
    "bucket", "shadow", "cached", "redaction", "error_code", "trace_id", "rows", "latency_ns", "queue_ns", "execute_ns",
], list(frame.columns)

types = {name: str(kind) for name, kind in frame.dtypes.items()}
assert types["timestamp_ms"] == "int64" and types["status_code"] == "int32" and types["shadow"] == "bool", types
assert types["time"] == "datetime64[us, UTC]", types["time"]

assert frame.databricks_request_id.is_unique
assert all(uuid.UUID(i).version == 7 for i in frame.databricks_request_id)
assert set(frame.model_version) == {1, 2} and set(frame.endpoint) == {"wine"}
assert (frame.rows == 1).all() and (frame.sampling_fraction == 1).all() and not frame.truncated.any()
assert (frame.time.astype("int64") // 1000 == frame.timestamp_ms).all()
assert str(frame.date[0]) == "2026-09-21", frame.date[0]
assert frame.client_request_id[12] == "client-12"
assert json.loads(frame.request[12])["dataframe_split"]["data"] == [[12.1, 3.5, 1.4, 5.2]]
assert json.loads(frame.response[12]) == {"predictions": [0]}

failed = frame.iloc[7]
assert failed.status_code == 400 and failed.error_code == "INVALID_PARAMETER_VALUE"
assert pandas.isna(failed.stage) and pandas.isna(failed.request) and pandas.isna(failed.response)
assert failed.request_binary == b"\xff\xfe\x00" and failed.content_type == "application/octet-stream"
assert frame.error_code.notna().sum() == 1

for path in Path(folder).glob("**/*.parquet"):
    footer = pyarrow.parquet.read_metadata(path)
    meta = {k.decode(): v.decode() for k, v in footer.metadata.items()}
    assert meta["sluice.format"] == "predlog/1" and meta["sluice.segment_id"] == path.stem, meta
    assert meta["sluice.endpoint"] == "wine" and meta["sluice.model_version"] in ("1", "2"), meta
    assert int(meta["sluice.rows"]) == footer.num_rows and meta["sluice.dropped.queue_full"] == "0", meta
