"""Point 7: OTLP push of metrics and traces, configured by the standard variables."""

import pytest
from conftest import Server, split_body, wait_until
from predictions import Posts


@pytest.fixture
def collector():
    with Posts() as posts:
        yield posts


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
        resources = [a.value.string_value for r in collector.metrics() for a in r.resource.attributes if a.key == "service.name"]
        assert set(resources) == {"cellar"}
    finally:
        s.stop()
