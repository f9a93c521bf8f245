"""Reads the prediction log of a server that is down, or between two deliveries, straight from its data directory; and what a server pushes."""

import gzip
import http.server
import threading

import pyarrow.parquet as pq


def logged_ids(server):
    """The prediction ids in every delivered segment, one an entry of the log."""
    ids = []
    for file in sorted((server.data_dir / "artifacts").rglob("predictions/**/*.parquet")):
        ids += pq.ParquetFile(file).read(columns=["databricks_request_id"]).column(0).to_pylist()
    return ids


class Posts:
    """A loopback server that takes every POST, as an OTLP collector does, and keeps path and body, decompressed."""

    def __init__(self):
        self.kept, self.status = [], 200
        posts = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.kept.append((self.path, gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body))
                self.send_response(posts.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def sent(self, path, message):
        """What was posted there, as messages of that protobuf class."""
        return [message.FromString(body) for p, body in list(self.kept) if p == path]

    def spans(self):
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return [s for t in self.sent("/v1/traces", ExportTraceServiceRequest) for r in t.resource_spans for scope in r.scope_spans for s in scope.spans]

    def metrics(self):
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        return [r for e in self.sent("/v1/metrics", ExportMetricsServiceRequest) for r in e.resource_metrics]

    def points(self, name):
        """The points of a histogram."""
        return [p for r in self.metrics() for scope in r.scope_metrics for m in scope.metrics if m.name == name for p in m.histogram.data_points]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
