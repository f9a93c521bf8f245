"""Traces with the real client: @mlflow.trace, search, feedback, OTLP, the web UI."""

import gzip
import json
import time

import pytest
import requests
from browser import chromium, visit  # noqa: F401  (fixtures)


def traced(mlflow, experiment):
    """Logs two traces with the decorator into the experiment, the second one failing, and returns their ids."""
    mlflow.set_experiment(experiment)

    @mlflow.trace(span_type="RETRIEVER", attributes={"shelf": "north wall"})
    def fetch(question):
        return ["riesling", "merlot"]

    @mlflow.trace(span_type="LLM")
    def complete(question, found):
        span = mlflow.get_current_active_span()
        span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12})
        if question == "fail":
            raise ValueError("corked")
        return f"{question}? {found[0]} é"

    @mlflow.trace(name="sommelier")
    def answer(question):
        mlflow.update_current_trace(tags={"cellar": "north"}, metadata={"mlflow.trace.session": "s-1"}, client_request_id="c-1")
        return complete(question, fetch(question))

    answer("what to drink")
    first = mlflow.get_last_active_trace_id()
    with pytest.raises(ValueError):
        answer("fail")
    mlflow.flush_trace_async_logging()
    return first, mlflow.get_last_active_trace_id()


def test_the_real_client_traces(server, mlflow_at):
    import mlflow
    from mlflow.entities import AssessmentSource

    client = mlflow_at(server)
    good, bad = traced(mlflow, "tasting")
    trace = mlflow.get_trace(good)
    assert [s.name for s in trace.data.spans] == ["sommelier", "fetch", "complete"]
    root, fetch, complete = trace.data.spans
    assert (root.parent_id, fetch.parent_id) == (None, root.span_id)
    assert (root.inputs, root.outputs) == ({"question": "what to drink"}, "what to drink? riesling é")
    assert (fetch.span_type, fetch.attributes["shelf"], fetch.outputs) == ("RETRIEVER", "north wall", ["riesling", "merlot"])
    assert complete.attributes["mlflow.chat.tokenUsage"]["total_tokens"] == 12
    info = trace.info
    assert (info.state, info.tags["cellar"], info.tags["mlflow.traceName"], info.client_request_id) == ("OK", "north", "sommelier", "c-1")
    assert info.trace_metadata["mlflow.trace.session"] == "s-1" and info.token_usage["total_tokens"] == 12
    assert info.request_preview == '{"question": "what to drink"}' and "riesling é" in info.response_preview
    failed = mlflow.get_trace(bad)
    assert (failed.info.state, failed.data.spans[0].status.status_code) == ("ERROR", "ERROR")
    assert failed.data.spans[2].events[0].attributes["exception.message"] == "corked"

    feedback = mlflow.log_feedback(trace_id=good, name="quality", value=0.9, rationale="dry", source=AssessmentSource("HUMAN", "ada"))
    mlflow.log_expectation(trace_id=good, name="grapes", value={"best": ["riesling"]})
    mlflow.log_feedback(trace_id=bad, name="polite", value="no")
    mlflow.update_assessment(good, feedback.assessment_id, mlflow.entities.Feedback(name="quality", value=0.7, rationale="less dry"))
    client.set_trace_tag(good, "reviewed", "yes")
    client.set_trace_tag(good, "gone", "yes")
    client.delete_trace_tag(good, "gone")

    def found(text, **kw):
        traces = mlflow.search_traces(filter_string=text, return_type="list", **kw)
        return [{good: "good", bad: "bad"}[t.info.trace_id] for t in traces]

    for text, want in {
        "": ["bad", "good"], "attributes.status = 'OK'": ["good"], "trace.status IN ('ERROR')": ["bad"], "tags.reviewed = 'yes'": ["good"],
        "tags.reviewed IS NULL": ["bad"], "attributes.name LIKE 'somm%'": ["bad", "good"], "attributes.client_request_id = 'c-1'": ["bad", "good"],
        "metadata.`mlflow.trace.session` = 's-1'": ["bad", "good"], "span.type = 'LLM' AND span.status = 'ERROR'": ["bad"],
        "span.type = 'RETRIEVER' AND span.status = 'ERROR'": [], "span.attributes.shelf LIKE '%north%'": ["bad", "good"],
        "span.attributes.shelf = 'north wall'": ["bad", "good"], "span.attributes.shelf != 'north wall'": [], "span.attributes.shelf RLIKE '^south'": [],
        "span.attributes.shelf RLIKE '^north'": ["bad", "good"], "trace.text ILIKE '%RIESLING é%'": ["good"], "feedback.quality > 0.5": ["good"],
        "feedback.polite = 'no'": ["bad"], "feedback.quality IS NULL": ["bad"], "execution_time < 1000000 AND timestamp > 0": ["bad", "good"],
    }.items():  # fmt: skip
        assert found(text) == want, text
    assert found("", order_by=["timestamp ASC"]) == ["good", "bad"]
    assert found("", max_results=1) == ["bad"]

    got = {a.name: a for a in mlflow.get_trace(good).info.assessments}
    assert (got["quality"].value, got["quality"].rationale, got["quality"].source.source_id) == (0.7, "less dry", "ada")
    assert got["grapes"].value == {"best": ["riesling"]}
    assert mlflow.get_assessment(good, got["grapes"].assessment_id).value == {"best": ["riesling"]}
    mlflow.delete_assessment(good, got["grapes"].assessment_id)
    assert [a.name for a in mlflow.get_trace(good).info.assessments] == ["quality"]

    with mlflow.start_run() as run:
        pass
    client.link_traces_to_run([good], run.info.run_id)
    assert found("", run_id=run.info.run_id) == ["good"]
    assert client.delete_traces(run.info.experiment_id, trace_ids=[bad]) == 1
    assert found("") == ["good"]
    with pytest.raises(mlflow.MlflowException, match="not found"):
        client.set_trace_tag(bad, "a", "b")


def span_id(name):
    return name.encode().hex().rjust(16, "0")


def span(trace, name, parent=None, **attributes):
    one = {
        "traceId": trace, "spanId": span_id(name), "name": name, "startTimeUnixNano": str(time.time_ns()),
        "endTimeUnixNano": str(time.time_ns() + 5_000_000), "status": {"code": 1},
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
    }  # fmt: skip
    return one | ({"parentSpanId": span_id(parent)} if parent else {})


def test_opentelemetry_sends_spans(server, mlflow_at):
    import mlflow

    mlflow_at(server)
    trace = "0af7651916cd43dd8448eb211c80319c"
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "cellar"}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span(trace, "root"), span(trace, "leaf", "root", grape="merlot")]}]}]}

    def send(body, experiment="0", **headers):
        headers = {"Content-Type": "application/json", **({"x-mlflow-experiment-id": experiment} if experiment else {}), **headers}
        return requests.post(server.url + "/v1/traces", data=body, headers=headers, timeout=30)

    answer = send(gzip.compress(json.dumps(body).encode()), **{"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.headers["Content-Type"], answer.content) == (200, "application/x-protobuf", b"")
    got = mlflow.get_trace("tr-" + trace)
    assert [s.name for s in got.data.spans] == ["root", "leaf"] and got.data.spans[1].attributes["grape"] == "merlot"
    assert got.info.tags["service.name"] == "cellar" and got.info.state == "OK"
    assert send("{}", experiment=None).status_code == 422
    assert send("{}").status_code == 400
    assert send("not json").status_code == 400
    assert send("{}", **{"Content-Type": "text/plain"}).status_code == 400
    assert send(json.dumps(body), experiment="4711").status_code == 404


def test_the_web_ui_shows_a_trace(server, mlflow_at, visit):  # noqa: F811
    import mlflow

    mlflow_at(server)
    good, _ = traced(mlflow, "tasting")
    mlflow.log_feedback(trace_id=good, name="quality", value=0.9, rationale="a dry one")
    eid = mlflow.get_experiment_by_name("tasting").experiment_id
    v = visit(server)
    v.open(f"/experiments/{eid}/traces", "what to drink", "what to drink? riesling", "Error", "quality")
    v.open(f"/experiments/{eid}/traces?selectedEvaluationId={good}", "sommelier", "fetch", "complete")
    v.tab.get_by_text("fetch", exact=True).filter(visible=True).first.click()
    v.sees("merlot")
    v.tab.get_by_text("Attributes", exact=True).filter(visible=True).first.click()
    v.sees("shelf", "north wall")
    v.tab.get_by_text("sommelier", exact=True).filter(visible=True).first.click()
    v.button("Assess").click()
    v.sees("Feedback (1)", "quality", "0.9")
    v.open(f"/experiments/{eid}/overview/usage", "Latency", "50.0%")
    v.open(f"/experiments/{eid}/chat-sessions", "View Sessions in Traces tab")
    v.open(f"/experiments/{eid}/evaluation-runs", "Evaluation runs")
