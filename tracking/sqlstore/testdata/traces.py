"""The real MLflow's side of TestTracesAgainstMLflow: argv = the database that we wrote traces into.

Prints one JSON object: "before" (what MLflow reads in the database), "after" (the same when it has written traces of its own) and
"metrics" (the answers to the questions in the second argument).
"""

import json
import sys
from datetime import datetime

import sqlalchemy
from mlflow.entities import AssessmentError, AssessmentSource, Expectation, Feedback, TraceInfo, TraceLocation, TraceState
from mlflow.entities.span import Span
from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from mlflow.tracing.utils.otlp import _set_otel_proto_anyvalue

database, questions = sys.argv[1:]
store = Tracking("sqlite:///" + database, "mlflow-artifacts:/")


def assessment(a):
    value = a.feedback or a.expectation
    error = a.feedback.error if a.feedback else None
    return {
        "id": a.assessment_id, "name": a.name, "kind": "feedback" if a.feedback else "expectation", "value": value.value,
        "error": [error.error_code, error.error_message] if error else None, "source": [a.source.source_type, a.source.source_id or ""],
        "rationale": a.rationale or "", "span": a.span_id or "", "metadata": a.metadata, "valid": a.valid, "overrides": a.overrides or "",
        "created": a.create_time_ms, "updated": a.last_update_time_ms,
    }  # fmt: skip


def rows(trace_id):
    """What stands in columns of spans beside the content."""
    names = "span_id, parent_span_id, name, type, status, start_time_unix_nano, end_time_unix_nano, duration_ns, total_cost, model_name, content"
    with store.engine.connect() as c:
        found = c.execute(sqlalchemy.text(f"SELECT {names} FROM spans WHERE trace_id = :t ORDER BY span_id"), {"t": trace_id})
        return [list(r) for r in found]


def trace(info):
    data = store.get_trace(info.trace_id, allow_partial=True).data if info.tags.get("mlflow.trace.spansLocation") else None
    return {
        "experiment": info.experiment_id, "time": info.request_time, "duration": info.execution_duration, "state": info.state.value,
        "client": info.client_request_id or "", "request": info.request_preview or "", "response": info.response_preview or "",
        "tags": info.tags, "metadata": info.trace_metadata, "assessments": [assessment(a) for a in sorted(info.assessments, key=lambda a: a.assessment_id)],
        "spans": [s.to_dict() for s in data.spans] if data else [], "rows": rows(info.trace_id),
    }  # fmt: skip


def everything():
    found, _ = store.search_traces(locations=["0"], max_results=100)
    return {t.trace_id: trace(t) for t in found}


def otel(trace_id, number, parent=0, **attributes):
    s = ProtoSpan(
        trace_id=bytes.fromhex(trace_id), span_id=number.to_bytes(8, "big"), name=f"span {number}",
        start_time_unix_nano=1_700_000_000_000_000_000 + number, end_time_unix_nano=1_700_000_001_500_000_000 + number,
    )  # fmt: skip
    if parent:
        s.parent_span_id = parent.to_bytes(8, "big")
    s.status.code = 1
    for key, value in attributes.items():
        a = s.attributes.add()
        a.key = key.replace("__", ".")
        _set_otel_proto_anyvalue(a.value, value)
    event = s.events.add(name="seen", time_unix_nano=5)
    a = event.attributes.add()
    a.key = "n"
    _set_otel_proto_anyvalue(a.value, [1, 2.5, True, "é", None, {"k": "v"}])
    resource = Resource()
    a = resource.attributes.add()
    a.key = "service.name"
    _set_otel_proto_anyvalue(a.value, "cellar")
    return Span.from_otel_proto(s, resource=resource)


def write():
    hexes = "ab" * 16
    store.log_spans("0", [
        otel(hexes, 1, mlflow__spanInputs={"messages": [{"role": "user", "content": "hi é"}]}, mlflow__spanType="CHAIN", user__id="bob", x=1, y=1.0, z=1e-7),
        otel(hexes, 2, 1, mlflow__chat__tokenUsage={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}, text="quote \" back \\ line \n <&> \u2028"),
    ])  # fmt: skip
    store.log_spans("0", [otel(hexes, 3, 1, mlflow__chat__tokenUsage={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "cache_read_input_tokens": 5},
                               mlflow__llm__cost={"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.3}, mlflow__llm__model="m")])  # fmt: skip
    source = AssessmentSource("HUMAN", "bob")
    store.start_trace(TraceInfo(
        trace_id="tr-theirs", trace_location=TraceLocation.from_experiment_id("0"), request_time=1_700_000_000_123, execution_duration=77,
        state=TraceState.ERROR, request_preview="ask", tags={"t": "1", "mlflow.traceName": "their trace"},
        trace_metadata={"mlflow.trace.session": "s", "mlflow.trace.tokenUsage": json.dumps({"input_tokens": 1}), "k": "v"}, client_request_id="cr",
        assessments=[Feedback(name="f", value=["é", 1.5, True], source=source, metadata={"a": "b"})],
    ))  # fmt: skip
    a = store.create_assessment(Feedback(trace_id="tr-theirs", name="g", value=0.25, rationale="because", source=source, span_id="s1"))
    store.create_assessment(Feedback(trace_id="tr-theirs", name="g", value=True, overrides=a.assessment_id, source=source))
    store.create_assessment(Feedback(trace_id="tr-theirs", name="h", error=AssessmentError("E", "broken"), source=source))
    store.create_assessment(Expectation(trace_id="tr-theirs", name="e", value={"k": ["v"]}, source=source))
    store.set_trace_tag("tr-ours", "theirs", "too")


def metrics(q):
    """Answers one question with rows of [start of the time bucket in ms, dimensions, values]."""
    aggregations = [MetricAggregation(AggregationType(a["type"]), a.get("percentile")) for a in q["aggregations"]]
    found = store.query_trace_metrics(
        ["0"], MetricViewType(q["view"]), q["metric"], aggregations, q.get("dimensions"), q.get("filters"), q.get("bucket"), q.get("start"), q.get("end")
    )

    def bucket(p):
        at = p.dimensions.get("time_bucket")
        return int(datetime.fromisoformat(at).timestamp() * 1000) if at else 0

    names = q.get("dimensions") or []
    return [[bucket(p), [p.dimensions[n] for n in names], [float(p.values[str(a)]) for a in aggregations]] for p in found]


before = everything()
write()
print(json.dumps({"before": before, "after": everything(), "metrics": [metrics(q) for q in json.loads(questions)]}))
