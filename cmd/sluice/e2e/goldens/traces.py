"""Traces, both versions of the calls: start, read, search, tags, links, deletes."""

from goldens import API3, AJAX, AJAX3, Case, delete, each, get, patch, post

T = API3 + "traces"


def trace(number, **fields):
    """Numbers from 10 on are in an experiment that nobody reads: MLflow takes some of what is wrong."""
    info = {"trace_id": f"tr-{number:032x}", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{te}" if number < 10 else "{tx}"}}, "request_time": f"2024-01-01T00:00:{number:02d}Z", "execution_duration": "1.5s", "state": "OK"}
    return post(T, {"trace": {"trace_info": {k: v for k, v in (info | fields).items() if v is not None}}})


def one(n):
    return f"tr-{n:032x}"


def search(**body):
    return post(T + "/search", {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{te}"}}]} | body)


def search2(**q):
    return get("traces", {"experiment_ids": "{te}"} | q)


def tag(key, value="1", trace=one(1)):
    return patch(f"{T}/{trace}/tags", {"key": key, "value": value})


def remove(**body):
    return post(T + "/delete-traces", {"experiment_id": "{te}"} | body)


def start(**body):
    return post("traces", {"experiment_id": "{tx}", "timestamp_ms": 5, "execution_time_ms": 7, "status": "OK"} | body)


CASES = [
    post("experiments/create", {"name": "traces"}, keep={"te": "experiment_id"}),
    post("experiments/create", {"name": "traces that are wrong"}, keep={"tx": "experiment_id"}),
    post("runs/create", {"experiment_id": "{te}", "run_name": "traced", "start_time": 1}, keep={"tr": "run.info.run_id"}),
    trace(1, tags={"mlflow.traceName": "alpha", "a": "1"}, trace_metadata={"mlflow.trace.session": "s1"}, request_preview="in", response_preview="out", client_request_id="c1"), trace(2, state="ERROR", tags={"mlflow.traceName": "beta"}), trace(3, state="IN_PROGRESS", execution_duration=None), trace(4), trace(1),
    get(f"{T}/{one(1)}"), get(f"{T}/{one(3)}"), get(f"{T}/tr-none"), get(f"{T}/x"), get(f"{T}/" + "t" * 3000),
    # What a trace may be
    post(T), post(T, {"trace": {}}), post(T, {"trace": {"trace_info": {}}}), post(T, {"trace": "x"}), post(T, {"trace": {"trace_info": "x"}}), trace(10, trace_id=None), trace(10, trace_id=""), trace(10, trace_id="short"), trace(10, trace_id="x" * 60), trace(10, trace_id="a/b"), trace(11, trace_location=None),
    trace(11, trace_location={}), trace(11, trace_location={"type": "MLFLOW_EXPERIMENT"}), trace(11, trace_location={"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "987654321"}}), trace(11, trace_location={"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "x"}}),
    trace(11, trace_location={"type": "INFERENCE_TABLE", "inference_table": {"full_table_name": "t"}}), trace(11, trace_location={"type": "NONSENSE", "mlflow_experiment": {"experiment_id": "{tx}"}}), trace(12, request_time=None), trace(12, request_time="yesterday"), trace(12, request_time=5), trace(12, request_time="2024-01-01"), trace(12, request_time="0001-01-01T00:00:00Z"),
    trace(13, execution_duration="x"), trace(13, execution_duration=5), trace(13, execution_duration="-1s"), trace(13, execution_duration="1.1234567891s"), trace(14, state=None), trace(15, state="NONSENSE"), trace(16, state=1), trace(17, state="STATE_UNSPECIFIED"), trace(18, state=99), trace(19, tags={"k" * 250: "v"}), trace(20, tags={"k" * 251: "v"}),
    trace(21, tags={"k": "v" * 9000}), trace(22, tags={"k": 5}), trace(23, tags="x"), trace(24, tags={"a#b": "v"}), trace(25, trace_metadata={"k" * 251: "v"}), trace(26, trace_metadata={"k": "v" * 9000}), trace(27, trace_metadata=[]), trace(28, request_preview="p" * 2000, response_preview="p" * 2000), trace(29, request_preview=5),
    trace(30, client_request_id="c" * 100), trace(31, tags={"": "v"}), trace(32, tags={"../k": "v"}), trace(33, trace_metadata={"mlflow.sourceRun": "{tr}"}), trace(34, trace_metadata={"mlflow.sourceRun": "none"}), trace(35, trace_metadata={"mlflow.trace.tokenUsage": "not json"}), trace(36, trace_metadata={"mlflow.trace.sizeStats": "not json"}),
    get(f"{T}/{one(19)}"),
    # With spans, which only OTLP writes
    get(T + "/get", {"trace_id": one(1)}), get(T + "/get", {"trace_id": "tr-none"}), get(T + "/get"), get(T + "/get", {"trace_id": one(1), "allow_partial": "true"}), get(T + "/get", {"trace_id": one(1), "allow_partial": "x"}), get(T + "/batchGet", {"trace_ids": [one(1), "tr-none"]}), get(T + "/batchGet"), get(T + "/batchGet", {"trace_ids": "tr-none"}),
    post(T + "/batchGetInfos", {"trace_ids": [one(1), one(2), "tr-none"]}), post(T + "/batchGetInfos"), post(T + "/batchGetInfos", {"trace_ids": "x"}), post(T + "/batchGetInfos", {"trace_ids": []}), post(T + "/batchGetInfos", {"trace_ids": [5]}),
    get(AJAX + "get-trace-artifact", {"request_id": one(1)}), get(AJAX + "get-trace-artifact", {"request_id": "tr-none"}), get(AJAX + "get-trace-artifact"), get(AJAX3 + "get-trace-artifact", {"request_id": one(1), "path": "../x"}),
    # Tags
    *each(tag, ["a", "k" * 250, "k" * 251, "a#b", "../a", "", "ü", "/a", 5, None]), tag("a", "v" * 9000), tag("a", ""), tag("a", 5), tag("a", None), tag("a", trace="tr-none"), patch(f"{T}/{one(1)}/tags"), patch(f"{T}/{one(1)}/tags", {"key": "a"}), patch(f"{T}/{one(1)}/tags", {"value": "a"}), tag("mlflow.artifactLocation", "x"),
    delete(f"{T}/{one(1)}/tags", {"key": "a"}), delete(f"{T}/{one(1)}/tags", {"key": "a"}), delete(f"{T}/{one(1)}/tags"), delete(f"{T}/tr-none/tags", {"key": "a"}), delete(f"{T}/{one(1)}/tags", {"key": 5}), delete(f"{T}/{one(1)}/tags", {"key": ""}),
    # Search
    search(max_results=3), post(T + "/search"), search(locations=[]), search(locations="x"), search(locations=[{}]), search(locations=[{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "987654321"}}]), search(locations=[{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "x"}}]),
    search(locations=[{"type": "INFERENCE_TABLE", "inference_table": {"full_table_name": "t"}}]), *each(lambda n: search(max_results=n), [1, 0, -1, 500, 501, "2", "x", 1.5, None]), *each(lambda t: search(page_token=t, max_results=1), ["x", "bm9wZQ==", "W10="]),
    *each(lambda f: search(filter=f, max_results=4), [
        "trace_id = '" + one(1) + "'", "request_id = '" + one(1) + "'", "attributes.request_id IN ('" + one(1) + "')", "status = 'OK'", "state = 'ERROR'", "trace.status = 'ERROR'", "attributes.status != 'OK'", "status = 'ok'", "status IN ('ERROR', 'IN_PROGRESS')", "status NOT IN ('OK')", "status LIKE 'ER%'", "status > 'A'", "timestamp > 0", "timestamp_ms = 5",
        "timestamp = 'x'", "execution_time = 1500", "execution_time_ms >= 1500", "execution_time > 'x'", "end_time > 0", "end_time_ms > 0", "name = 'alpha'", "name LIKE 'al%'", "name ILIKE 'AL%'", "name RLIKE '^a'", "name RLIKE '('", "name != 'alpha' AND name = 'beta'", "name IN ('alpha')", "trace.name = 'alpha'", "attributes.name = 'alpha'", "client_request_id = 'c1'",
        "client_request_id LIKE 'c%'", "run_id = '{tr}'", "run_id IN ('{tr}')", "run_id LIKE '%'", "prompt = 'p/1'", "prompt = 'p'", "prompt LIKE 'p'", "tags.a = '1'", "tag.a = '1'", "tags.none IS NULL", "tags.a IS NOT NULL", "tags.a IN ('1')", "tags.a > '1'", "tags.`mlflow.traceName` = 'alpha'", "tags.mlflow.traceName = 'alpha'", "metadata.`mlflow.trace.session` = 's1'",
        "request_metadata.`mlflow.trace.session` = 's1'", "metadata.x IS NULL", "metadata.x > 1", "span.name = 'x'", "span.type = 'LLM'", "span.status = 'OK'", "span.content LIKE '%x%'", "span.content = 'x'", "span.content ILIKE '%x%'", "span.attributes.k = 'v'", "span.attributes.k > 1", "span.nonsense = 'x'", "span.name RLIKE 'x'", "feedback.q = 'good'", "feedback.q > 0.5", "feedback.q IS NULL",
        "feedback.q LIKE 'x'", "expectation.e = 'x'", "expectation.e IS NOT NULL", "issue.id = 'x'", "issue.id LIKE 'x'", "issue.name = 'x'", "trace.text LIKE '%in%'", "text LIKE '%in%'", "trace.text = 'x'", "nonsense = 'x'", "nonsense.a = 'x'", "attributes.nonsense = 'x'", "name", "name =", "name = 'a' OR name = 'b'", "(name = 'alpha')", "name = alpha", "name = 1", "name = 'unclosed",
        "timestamp > 0 AND name = 'alpha'", "timestamp BETWEEN 0 AND 1", "NOT name = 'x'", "name IS NULL", "run_id IS NULL", "metrics.a > 1", "params.a = 'x'", "experiment_id = '1'", "end_time = 'x'", "execution_time IN (1)", "timestamp IN (1)", "request = 'x'", "response LIKE '%out%'", "trace.request_preview LIKE '%in%'", "source_run = 'x'", "user = 'x'", "session = 's1'"]),
    *each(lambda o: search(order_by=[o], max_results=3), ["timestamp", "timestamp DESC", "timestamp_ms ASC", "execution_time", "execution_time_ms DESC", "end_time", "status", "state", "request_id", "trace_id DESC", "name", "run_id", "experiment_id", "nonsense", "tags.a", "metadata.x", "", "timestamp NOPE", "attributes.timestamp", "trace.timestamp", "client_request_id", "request_time"]),
    search(order_by=["timestamp", "timestamp DESC"]), search(order_by="timestamp"), search(order_by=["name", "timestamp ASC"], max_results=2),
    # The calls of before
    search2(max_results=2), get("traces"), search2(max_results=0), search2(max_results=501), search2(max_results=100000), search2(max_results="x"), search2(filter="status = 'OK'", max_results=1), search2(filter="nonsense = 1"), search2(order_by="timestamp_ms ASC", max_results=1), search2(page_token="x"), search2(experiment_ids="x"), search2(experiment_ids=""),
    start(), start(experiment_id=None), start(experiment_id="987654321"), start(experiment_id="x"), start(timestamp_ms="x"), start(timestamp_ms=None), start(execution_time_ms=None), start(status="NONSENSE"), start(request_metadata=[{"key": "k", "value": "v"}], tags=[{"key": "a", "value": "b"}]), start(tags=[{"key": "k" * 251, "value": "b"}]), start(tags="x"), post("traces"),
    get(f"traces/{one(1)}/info"), get("traces/tr-none/info"), patch(f"traces/{one(3)}", {"timestamp_ms": 99, "status": "OK", "request_metadata": [], "tags": []}), patch("traces/tr-none", {"timestamp_ms": 99, "status": "OK"}), patch(f"traces/{one(3)}", {"timestamp_ms": "x"}), patch(f"traces/{one(1)}/tags", {"key": "b", "value": "2"}),
    patch(f"traces/{one(1)}/tags", {"key": "k" * 251, "value": "2"}), delete(f"traces/{one(1)}/tags", {"key": "b"}), delete(f"traces/{one(1)}/tags", {"key": "b"}), get("unified-traces"), get("get-online-trace-details"),
    # Links
    post("traces/link-to-run", {"trace_ids": [one(1), one(2)], "run_id": "{tr}"}), post("traces/link-to-run", {"trace_ids": [one(1)], "run_id": "{tr}"}), post("traces/link-to-run", {"trace_ids": [], "run_id": "{tr}"}), post("traces/link-to-run", {"trace_ids": [one(1)] * 101, "run_id": "{tr}"}), post("traces/link-to-run", {"trace_ids": [one(1)]}), post("traces/link-to-run", {"run_id": "{tr}"}),
    post("traces/link-to-run"), post("traces/link-to-run", {"trace_ids": ["tr-none"], "run_id": "{tr}"}), post("traces/link-to-run", {"trace_ids": [one(1)], "run_id": "f" * 32}), post("traces/link-to-run", {"trace_ids": "x", "run_id": "{tr}"}), post("traces/link-to-run", {"trace_ids": [5], "run_id": "{tr}"}), search(filter="run_id = '{tr}'"),
    post("traces/link-prompts", {"trace_id": one(1), "prompt_versions": [{"name": "p", "version": "1"}]}), post("traces/link-prompts", {"trace_id": one(1)}), post("traces/link-prompts"), post("traces/link-prompts", {"trace_id": "tr-none", "prompt_versions": [{"name": "p", "version": "1"}]}), post("traces/link-prompts", {"trace_id": one(1), "prompt_versions": [{"name": "p"}]}),
    post("traces/link-prompts", {"trace_id": one(1), "prompt_versions": [{}]}), post("traces/link-prompts", {"trace_id": one(1), "prompt_versions": "x"}), post("traces/link-prompts", {"trace_id": one(1), "prompt_versions": [{"name": "p", "version": "x"}]}),
    # Spans over OTLP
    Case("POST", "/v1/traces", b"", headers={"Content-Type": "application/x-protobuf"}), Case("POST", "/v1/traces", b"nonsense", headers={"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}), Case("POST", "/v1/traces", b"", headers={"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": "0"}),
    Case("POST", "/v1/traces", b"{}", headers={"Content-Type": "application/json", "x-mlflow-experiment-id": "0"}), Case("POST", "/v1/traces", b"{", headers={"Content-Type": "application/json", "x-mlflow-experiment-id": "0"}), Case("POST", "/v1/traces", b"x", headers={"Content-Type": "text/plain", "x-mlflow-experiment-id": "0"}),
    Case("POST", "/v1/traces", b"x", headers={"x-mlflow-experiment-id": "0"}), Case("POST", "/v1/traces", b"x", headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", "x-mlflow-experiment-id": "0"}),
    Case("POST", "/v1/traces", b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"s","startTimeUnixNano":"1544712660000000000","endTimeUnixNano":"1544712661000000000"}]}]}]}', headers={"Content-Type": "application/json", "x-mlflow-experiment-id": "987654321"}),
    # Deletes
    remove(), remove(request_ids=["tr-none"]), remove(trace_ids=["tr-none"]), remove(request_ids=[one(4)]), remove(request_ids=[one(4)], max_timestamp_millis=5), remove(max_timestamp_millis=1), remove(max_timestamp_millis=1, max_traces=0), remove(max_traces=1), remove(max_timestamp_millis="x"), remove(request_ids="x"), remove(request_ids=[]),
    remove(experiment_id=None, request_ids=["x"]), remove(experiment_id="x", request_ids=["x"]), remove(experiment_id="987654321", request_ids=["x"]), remove(max_timestamp_millis=-1), get(f"{T}/{one(4)}"), post("traces/delete-traces", {"experiment_id": "{te}", "request_ids": [one(3)]}), post("traces/delete-traces", {"experiment_id": "{te}"}),
    post(T + "/calculate-filter-correlation"), post(T + "/calculate-filter-correlation", {"experiment_ids": ["{te}"], "filter_string1": "status = 'OK'", "filter_string2": "nonsense"}), post(T + "/calculate-filter-correlation", {"experiment_ids": ["{te}"], "filter_string1": "status = 'OK'"}),
    post(T + "/metrics"), post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "nonsense", "aggregations": [{"aggregation_type": "COUNT"}]}), post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}]}),
    post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "trace_count"}), post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "NONSENSE", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}]}),
    post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "latency", "aggregations": [{"aggregation_type": "PERCENTILE"}]}), post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "latency", "aggregations": [{"aggregation_type": "PERCENTILE", "percentile_value": 101}]}),
    post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}], "dimensions": ["nonsense"]}), post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}], "max_results": 100000}),
    post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}], "time_interval_seconds": 0}), post(T + "/metrics", {"experiment_ids": ["{te}"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}], "filters": ["nonsense"]}),
]
