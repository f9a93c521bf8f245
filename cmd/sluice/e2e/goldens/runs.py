"""Runs: creation, status, names, states, tags, params, single metrics, model records."""

from goldens import each, get, post

R = {"run_id": "{r}"}


def create(**body):
    keep = body.pop("keep", {})
    return post("runs/create", {"experiment_id": "{e}", **body}, keep=keep)


def update(**body):
    return post("runs/update", R | body)


def param(key, value="v"):
    return post("runs/log-parameter", R | {"key": key, "value": value})


def tag(key, value="v"):
    return post("runs/set-tag", R | {"key": key, "value": value})


def metric(**body):
    return post("runs/log-metric", R | {"key": "m", "value": 1.0, "timestamp": 1, "step": 0} | body)


def wrong(field, values):
    """Metrics with a field of a wrong type, on a run of their own: MLflow takes some of them."""
    return each(lambda v: post("runs/log-metric", {"run_id": "{w}", "key": "m", "value": 1.0, "timestamp": 1, "step": 0} | {field: v}), values)


def without(path, body, field):
    return post(path, {k: v for k, v in body.items() if k != field})


KEYS = ["a", "a.b", "a-b", "a_b", "a b", "a/b", "a:b", "A", "0", "k" * 250, "k" * 251, "a#b", "a@b", "a,b", "ü", "日本", "a\tb", "a\nb", "", " ", ".", "..", "../a", "./a", "a/..", "/a", "a/", "a//b", "a/./b", "a\\b", "'", '"', "a%2fb"]

CASES = [
    post("experiments/create", {"name": "runs"}, keep={"e": "experiment_id"}),
    create(run_name="one", user_id="ada", start_time=11, tags=[{"key": "a", "value": "b"}], keep={"r": "run.info.run_id"}), create(run_name="wrong", keep={"w": "run.info.run_id"}),
    create(), create(run_name=""), create(run_name="  "), create(run_name="n" * 300), create(run_name="x", tags=[{"key": "mlflow.runName", "value": "x"}]), create(run_name="x", tags=[{"key": "mlflow.runName", "value": "y"}]),
    create(tags=[{"key": "mlflow.runName", "value": "from a tag"}]), create(start_time=0), create(user_id=""), create(tags=[{"key": "k" * 251, "value": "v"}]), create(tags=[{"key": "a#b", "value": "v"}]),
    create(tags=[{"key": "a", "value": "v" * 8001}]), create(tags=[{"key": "../a", "value": "v"}]), create(tags=[{"value": "v"}]), create(tags=[{"key": "a"}]), create(tags=[{"key": "", "value": "v"}]),
    post("runs/create", {"experiment_id": "987654321"}), post("runs/create", {"experiment_id": ""}),
    get("runs/get", R), get("runs/get"), get("runs/get", {"run_id": ""}), get("runs/get", {"run_id": "f" * 32}), get("runs/get", {"run_id": "x'y"}), get("runs/get", {"run_id": "../../etc"}), get("runs/get", {"run_id": "r" * 5000}),
    # Updates
    update(status="FINISHED", end_time=20), update(status="SCHEDULED"), update(status="KILLED", end_time=0), update(run_name="renamed"), update(run_name=""), update(run_name="n" * 300), update(), update(end_time=-1),
    post("runs/update", {"status": "FINISHED"}), post("runs/update", {"run_id": "f" * 32, "status": "FINISHED"}), post("runs/update", {"run_id": ""}), post("runs/update", {"run_uuid": "{r}", "status": "RUNNING"}),
    get("runs/get", R),
    # Tags
    *each(tag, KEYS), tag("v", "v" * 8000), tag("v", "v" * 8001), tag("v", "v" * 20000), tag("empty", ""), tag("mlflow.runName", "by tag"), tag("mlflow.runName", ""), tag("mlflow.user", "eve"), tag("mlflow.source.type", "NONSENSE"),
    without("runs/set-tag", R | {"key": "a", "value": "b"}, "run_id"), without("runs/set-tag", R | {"key": "a", "value": "b"}, "key"), without("runs/set-tag", R | {"key": "a", "value": "b"}, "value"),
    post("runs/set-tag", {"run_id": "f" * 32, "key": "a", "value": "b"}), tag("a", None), *each(lambda v: tag("a", v), [1, True, [], {}]), tag("a", "b"), *each(tag, [1, True]),
    post("runs/delete-tag", R | {"key": "empty"}), post("runs/delete-tag", R | {"key": "empty"}), post("runs/delete-tag", R), post("runs/delete-tag", {"key": "a"}), post("runs/delete-tag", {"run_id": "f" * 32, "key": "a"}), post("runs/delete-tag", R | {"key": ""}),
    # Params
    *each(param, KEYS), param("v", "v" * 6000), param("long", "v" * 6001), param("longer", "v" * 30000), param("empty", ""), param("empty", ""), param("a", "v"), param("a", "w"), param("A", "w"), param("uni", "日本\n\t"),
    without("runs/log-parameter", R | {"key": "a", "value": "b"}, "run_id"), without("runs/log-parameter", R | {"key": "a", "value": "b"}, "key"), without("runs/log-parameter", R | {"key": "nov", "value": "b"}, "value"),
    post("runs/log-parameter", {"run_id": "f" * 32, "key": "a", "value": "b"}), param("null", None), *each(lambda v: post("runs/log-parameter", {"run_id": "{w}", "key": f"typed {v}", "value": v}), [1, True, []]),
    # Metrics
    *each(lambda k: metric(key=k), KEYS),
    *each(lambda v: metric(value=v), [0, -1.5, 1e308, 5e-324, "NaN", "Infinity", "-Infinity", "1.5", "1e3", 2**60]),
    *wrong("value", [None, "", "x", True, [], {}, "nan", "inf", "1_0", "0x10", " 1 "]),
    *each(lambda v: metric(timestamp=v), [0, 1, "5", 5.0, 2**53, -1, None, "1.0"]),
    *wrong("timestamp", ["", "x", 1.5, True, [], 2**63]),
    *each(lambda v: metric(step=v), [0, -5, "5", 5.0, 2**53, 2**63 - 1, None]),
    *wrong("step", ["", "x", 1.5, True, [], 2**63]),
    *each(lambda f: without("runs/log-metric", R | {"key": "m", "value": 1.0, "timestamp": 1, "step": 0}, f), ["run_id", "key", "value", "timestamp", "step"]),
    post("runs/log-metric", {"run_id": "f" * 32, "key": "m", "value": 1.0, "timestamp": 1}),
    metric(model_id="m-none"), metric(model_id=""), metric(dataset_name="d"), metric(dataset_name="d", dataset_digest="1"), metric(model_id="m-none", dataset_name="d", dataset_digest="1"),
    post("runs/log-metric", R | {"key": "huge", "value": 1.0, "timestamp": 1, "step": 0, "nonsense": 1}),
    # Model records
    post("runs/log-model", R | {"model_json": '{"run_id": "{r}", "artifact_path": "m", "utc_time_created": "2020", "flavors": {}}'}),
    *each(lambda v: post("runs/log-model", R | {"model_json": v}), ["", "x", "[]", "{}", "1", None, {}, '{"flavors": {}}', '{"run_id": "x"}']),
    post("runs/log-model", R), post("runs/log-model", {"model_json": "{}"}),
    post("runs/log-model", {"run_id": "f" * 32, "model_json": '{"run_id": "x", "artifact_path": "m", "utc_time_created": "2020", "flavors": {}}'}),
    # States
    post("runs/delete", R), post("runs/delete", R), get("runs/get", R),
    update(status="FINISHED"), tag("a"), param("z"), metric(), post("runs/delete-tag", R | {"key": "a"}), post("runs/log-batch", R | {"tags": [{"key": "a", "value": "1"}]}), post("runs/log-batch", R), post("runs/log-inputs", R | {"datasets": []}),
    post("runs/outputs", R | {"models": []}), post("runs/log-model", R | {"model_json": '{"run_id": "{r}", "artifact_path": "m", "utc_time_created": "2020", "flavors": {}}'}),
    get("metrics/get-history", R | {"metric_key": "m", "max_results": 10}), get("artifacts/list", R),
    post("runs/restore", R), post("runs/restore", R), post("runs/delete", {"run_id": "f" * 32}), post("runs/restore", {"run_id": "f" * 32}), post("runs/delete"), post("runs/restore"), post("runs/delete", {"run_id": 12}), post("runs/delete", {"run_id": ""}),
    # A run of a deleted experiment
    post("experiments/delete", {"experiment_id": "{e}"}), get("runs/get", R), tag("a"), post("runs/search", {"experiment_ids": ["{e}"], "max_results": 1}), post("experiments/restore", {"experiment_id": "{e}"}), get("runs/get", R),
]
