"""Reads the prediction log of a server that is down, or between two deliveries, straight from its data directory."""

import pyarrow.parquet as pq


def logged_ids(server):
    """The prediction ids in every delivered segment, one an entry of the log."""
    ids = []
    for file in sorted((server.data_dir / "artifacts").rglob("predictions/**/*.parquet")):
        ids += pq.ParquetFile(file).read(columns=["databricks_request_id"]).column(0).to_pylist()
    return ids
