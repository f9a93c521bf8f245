"""Point 7: OTLP push of metrics and traces, configured by the standard variables."""

import gzip
import http.server
import threading

import pytest
from conftest import Server, split_body, wait_until


class Collector:
    """A loopback OTLP/HTTP receiver that keeps what it is sent."""

    def __init__(self):
        self.traces, self.metrics = [], []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
                from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    collector.traces.append(ExportTraceServiceRequest.FromString(body))
                elif self.path == "/v1/metrics":
                    collector.metrics.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self):
        return [s for t in list(self.traces) for r in t.resource_spans for scope in r.scope_spans for s in scope.spans]

    def points(self, name):
        found = [m for e in list(self.metrics) for r in e.resource_metrics for scope in r.scope_metrics for m in scope.metrics if m.name == name]
        return [p for m in found for p in m.histogram.data_points]


@pytest.fixture
def collector():
    c = Collector()
    yield c
    c.server.shutdown()


def test_otlp_push(tmp_path, collector):
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_SERVICE_NAME": "cellar",
    }
    s = Server(tmp_path / "data", "--demo", env=env).start()
    try:
        s.ready()
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        for _ in range(5):
            assert s.post("/invocations", json=split_body(), headers={"traceparent": parent}).ok
        spans = wait_until(lambda: [x for x in collector.spans() if x.trace_id.hex() == parent.split("-")[1]], what="spans")
        names = wait_until(
            lambda: (lambda n: n if {"decode", "queue", "execute", "encode"} <= n else None)({x.name for x in collector.spans()}),
            what="the four stages",
        )
        assert len(spans) >= 1 and names
        roots = [x for x in collector.spans() if x.parent_span_id.hex() == parent.split("-")[2]]
        assert roots, "the server span hangs below the caller's"
        points = wait_until(lambda: collector.points("sluice.request.duration"), what="the latency histogram")
        attributes = {a.key: a.value for a in points[-1].attributes}
        assert {"endpoint", "model", "version", "stage", "arm", "code"} <= set(attributes)
        resources = [a.value.string_value for e in collector.metrics for r in e.resource_metrics for a in r.resource.attributes if a.key == "service.name"]
        assert set(resources) == {"cellar"}
    finally:
        s.stop()
