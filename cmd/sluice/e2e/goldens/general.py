"""What holds for every call: content types, JSON, wrong types, spellings of names, queries, unknown routes."""

from goldens import AJAX, Case, each, get, patch, post

DEEP = "[" * 5000 + "]" * 5000


def create_run(value, field="run_name", **kw):
    return post("runs/create", {"experiment_id": "0", field: value}, **kw)


def text(body, path="experiments/create", **kw):
    return Case("POST", path, body, **kw)


CASES = [
    post("runs/create", {"experiment_id": "0", "run_name": "first"}, keep={"run": "run.info.run_id"}),
    # Content types
    text("name=x", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    text('{"name": "x"}', headers={"Content-Type": "text/plain"}),
    text('{"name": "plain"}', headers={"Content-Type": "application/json; charset=utf-8"}),
    text('{"name": "upper"}', headers={"Content-Type": "APPLICATION/JSON"}),
    Case("POST", "experiments/create", b'{"name": "x"}'),
    Case("POST", "experiments/create", b""),
    Case("POST", "experiments/search", b"", headers={"Content-Type": "application/json"}),
    Case("PATCH", "registered-models/update", b'{"name": "none"}'),
    Case("DELETE", "registered-models/delete", b'{"name": "none"}'),
    Case("DELETE", "registered-models/delete", None),
    Case("GET", "experiments/get", None),
    # Not JSON
    text("{"),
    text("{'name': 'x'}"),
    text('{"name": "x"} trailing'),
    text('{"name": "x",}'),
    text("[]"),
    text("12"),
    text("true"),
    text('"text"'),
    text("null"),
    text(""),
    text('"{\\"name\\": \\"double encoded\\"}"'),
    text(b'{"name": "\xff\xfe"}', headers={"Content-Type": "application/json"}),
    text(b'\xef\xbb\xbf{"name": "bom"}', headers={"Content-Type": "application/json"}),
    text('{"name": "\\ud800"}'),
    text('{"name": "\\u0000"}'),
    text('{"name": %s}' % DEEP),
    text('{"name": "deep", "unknown": %s}' % DEEP),
    text('{"name": "twice", "name": "the last"}'),
    text('{"name": "unknown", "nonsense": {"a": [1, null]}}'),
    text('{"name": NaN}'),
    # Spellings
    post("runs/get", {"run_id": "{run}"}),
    get("runs/get", {"runId": "{run}"}),
    get("runs/get", {"run_uuid": "{run}"}),
    get("runs/get", {"run_id": "{run}", "run_uuid": "other"}),
    post("runs/set-tag", {"runId": "{run}", "key": "a", "value": "b"}),
    post("runs/set-tag", {"run_id": "{run}", "runId": "{run}", "key": "a", "value": "b"}),
    post("runs/set-tag", {"run_uuid": "{run}", "key": "a", "value": "b"}),
    post("runs/create", {"experimentId": "0", "runName": "camel", "startTime": 5}),
    post("runs/create", {"experiment_id": "0", "tags": [{"key": "a", "value": "b", "nonsense": 1}]}),
    # Wrong types, by field
    *each(lambda v: post("experiments/create", {"name": v}), [12, 1.5, True, [], {}, ["x"]]),
    post("experiments/create", {"name": None}),
    post("experiments/create", {"name": "tags of a wrong type", "tags": "x"}),
    post("experiments/create", {"name": "tags of another wrong type", "tags": [12]}),
    post("experiments/create", {"name": "tags of null", "tags": [None]}),
    post("experiments/create", {"name": "null as tags", "tags": None}),
    post("experiments/create", {"name": "a number as tag", "tags": [{"key": "a", "value": 1}]}),
    post("experiments/create", {"name": "an artifact location of a wrong type", "artifact_location": 1}),
    *each(lambda v: get("experiments/get", {"experiment_id": v}), ["", "x", "-1", "1.0", "0x1", " 0", "00", "99999999999999999999999", "1e3", "٠"]),
    *each(lambda v: post("experiments/delete", {"experiment_id": v}), [12, None, [], True, 1.5]),
    *each(lambda v: create_run(v, "start_time"), ["5", "5.0", 5.0, 0, -1, 2**53, 2**63 - 1]),
    *each(lambda v: create_run(v, "start_time"), ["x", "", True, [], {}, 1.5, 2**63, "1_0 "]),
    *each(lambda v: create_run(v, "start_time"), [None]),
    *each(lambda v: create_run(v, "run_name"), [5, True, [], {}]),
    *each(lambda v: create_run(v, "experiment_id"), [5, None]),
    *each(lambda v: post("runs/update", {"run_id": "{run}", "status": v}), ["FINISHED", 1, "2", "running", "NONSENSE", "", None]),
    *each(lambda v: post("runs/update", {"run_id": "{run}", "status": v}), [0, 9, "9", -1, 1.7, True, [], {}]),
    post("runs/update", {"run_id": "{run}", "status": "FAILED"}),
    *each(lambda v: post("runs/update", {"run_id": "{run}", "end_time": v}), [17, "18", 19.0, None]),
    *each(lambda v: post("runs/update", {"run_id": "{run}", "end_time": v}), ["x", 1.5, True, []]),
    *each(lambda v: post("runs/search", {"experiment_ids": ["0"], "run_view_type": v, "max_results": 1}), ["ALL", "all", "NONSENSE", 1, "3", None]),
    *each(lambda v: post("runs/search", {"experiment_ids": ["0"], "max_results": v}), [0, -1, 50001, "50001", "x", 1.5, True, [], {}, 2**31, 2**40, 10**30, "", None]),
    *each(lambda v: post("runs/search", {"experiment_ids": v, "max_results": 1}), ["0", 0, {}, None]),
    *each(lambda v: post("runs/search", {"experiment_ids": v, "max_results": 1}), [[None], [0], [[]]]),
    *each(lambda v: post("runs/search", {"experiment_ids": ["0"], "filter": v, "max_results": 1}), [12, [], {}, True, None]),
    *each(lambda v: post("runs/search", {"experiment_ids": ["0"], "order_by": v, "max_results": 1}), ["x", [12], {}, None]),
    *each(lambda v: post("runs/search", {"experiment_ids": ["0"], "page_token": v, "max_results": 1}), [12, [], None]),
    *each(lambda v: post("runs/search", {"experiment_ids": ["0"], "page_token": v, "max_results": 1}), ["eyJvZmZzZXQiOiAxfQ=="]),
    *each(lambda v: get("registered-models/search", {"max_results": v}), [1, "x", "1.5", "", -1, 0, 1001, "1000", "9" * 30]),
    *each(lambda v: post("model-versions/transition-stage", {"name": "none", "version": "1", "stage": "None", "archive_existing_versions": v}), [True, "true", 1, None]),
    get("traces/get", {"trace_id": "tr-1", "allow_partial": "maybe"}),
    get("/api/3.0/mlflow/traces/get", {"trace_id": "tr-1", "allow_partial": "maybe"}),
    get("/api/3.0/mlflow/traces/get", {"trace_id": "tr-1", "allow_partial": "TRUE"}),
    # Routes
    get("nonsense"),
    post("experiments/get", {"experiment_id": "0"}),
    get("experiments/create"),
    patch("experiments/update", {"experiment_id": "0"}),
    get(AJAX + "experiments/get", {"experiment_id": "0"}),
    get("/api/1.0/mlflow/experiments/get", {"experiment_id": "0"}),
    get("/health"),
    get("/version"),
]
