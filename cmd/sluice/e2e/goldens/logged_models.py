"""Logged models: names, states, params, tags, search, artifacts."""

from goldens import AJAX, delete, each, get, patch, post


def create(**body):
    """In an experiment that nobody reads, unless told otherwise: MLflow takes some of what is wrong."""
    keep = body.pop("keep", {})
    return post("logged-models", {"experiment_id": "{lx}", "name": "m"} | body, keep=keep)


def finish(status, model="{m1}"):
    return patch(f"logged-models/{model}", {"model_id": model, "status": status})


def params(given, model="{m1}"):
    return post(f"logged-models/{model}/params", {"model_id": model} | ({} if given is None else {"params": given}))


def search(**body):
    return post("logged-models/search", {"experiment_ids": ["{le}"]} | body)


def order(**fields):
    return search(order_by=[fields])


CASES = [
    post("experiments/create", {"name": "logged models"}, keep={"le": "experiment_id"}),
    post("runs/create", {"experiment_id": "{le}", "run_name": "maker", "start_time": 1}, keep={"lr": "run.info.run_id"}),
    post("experiments/create", {"name": "logged models that are wrong"}, keep={"lx": "experiment_id"}),
    create(experiment_id="{le}", name="first", model_type="agent", source_run_id="{lr}", params=[{"key": "p", "value": "1"}], tags=[{"key": "t", "value": "1"}], keep={"m1": "model.info.model_id"}),
    create(experiment_id="{le}", name="second", keep={"m2": "model.info.model_id"}),
    create(name="third", keep={"m3": "model.info.model_id"}),
    *each(lambda n: create(name=n), ["", " ", "a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "n" * 500, "n" * 501, "ünï", 5, None]),
    post("logged-models", {"name": "m"}), post("logged-models"), create(experiment_id="987654321"), create(experiment_id="x"), create(source_run_id="f" * 32), create(source_run_id=""), create(model_type=""), create(model_type="t" * 600),
    create(params=[{"key": "k" * 255, "value": "v"}]), create(params=[{"key": "k" * 256, "value": "v"}]), create(params=[{"key": "k", "value": "v" * 6001}]), create(params=[{"value": "v"}]), create(params=[{"key": "a#b", "value": "v"}]),
    create(params=[{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]), create(params="x"), create(tags=[{"key": "k" * 251, "value": "v"}]), create(tags=[{"key": "k", "value": "v" * 8001}]), create(tags=[{"key": "../k", "value": "v"}]), create(tags=[5]),
    create(tags=[{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]),
    get("logged-models/{m1}"), get("logged-models/m-none"), get("logged-models/x%27y"), get("logged-models/" + "m" * 3000),
    # States
    *each(lambda s: finish(s, "{m3}"), ["LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED", "LOGGED_MODEL_PENDING", "LOGGED_MODEL_STATUS_UNSPECIFIED", 2, "2", 3, 9, "READY", "nonsense", "", None, True, []]),
    patch("logged-models/{m1}", {"status": "LOGGED_MODEL_UPLOAD_FAILED"}), patch("logged-models/{m1}", {"model_id": "{m1}"}), finish("LOGGED_MODEL_READY", "m-none"), finish("LOGGED_MODEL_READY"), get("logged-models/{m2}"), get("logged-models/{m1}"),
    # Params and tags
    params([{"key": "q", "value": "2"}]), params([{"key": "q", "value": "2"}]), params([{"key": "q", "value": "3"}]), params(None), params([]), params([{"key": "k" * 256, "value": "2"}], "{m3}"), params([{"key": "n", "value": 5}], "{m3}"), params([{"key": "long", "value": "v" * 6000}]), params([{"key": "q", "value": "2"}], "m-none"), params("x", "{m3}"),
    post("logged-models/{m1}/params", {"params": [{"key": "q", "value": "2"}]}),
    patch("logged-models/{m1}/tags", {"tags": [{"key": "a", "value": "1"}, {"key": "b c", "value": ""}]}), patch("logged-models/{m1}/tags", {"tags": [{"key": "a", "value": "2"}]}), patch("logged-models/{m1}/tags"), patch("logged-models/{m1}/tags", {"tags": []}),
    patch("logged-models/{m1}/tags", {"tags": [{"key": "k" * 251, "value": "1"}]}), patch("logged-models/{m1}/tags", {"tags": [{"key": "a", "value": "v" * 8001}]}), patch("logged-models/{m1}/tags", {"tags": [{"key": "", "value": "v"}]}), patch("logged-models/{m1}/tags", {"tags": [{"key": "a/../b", "value": "v"}]}),
    patch("logged-models/{m1}/tags", {"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}), patch("logged-models/m-none/tags", {"tags": [{"key": "a", "value": "1"}]}), patch("logged-models/{m1}/tags", {"tags": "x"}), patch("logged-models/{m3}/tags", {"tags": [{"key": "typed", "value": 5}]}),
    delete("logged-models/{m1}/tags/a"), delete("logged-models/{m1}/tags/a"), delete("logged-models/{m1}/tags/none"), delete("logged-models/m-none/tags/a"), delete("logged-models/{m1}/tags/b%20c"), get("logged-models/{m1}"),
    # Metrics of a model
    post("runs/log-metric", {"run_id": "{lr}", "key": "acc", "value": 0.5, "timestamp": 1, "step": 0, "model_id": "{m1}"}), post("runs/log-metric", {"run_id": "{lr}", "key": "acc", "value": 0.7, "timestamp": 2, "step": 0, "model_id": "{m2}", "dataset_name": "d", "dataset_digest": "1"}),
    get("logged-models/{m1}"), get("logged-models/{m2}"),
    # Search
    search(), search(experiment_ids=[]), post("logged-models/search"), search(experiment_ids=["987654321"]), search(experiment_ids=["x"]), search(experiment_ids="0"), *each(lambda n: search(max_results=n), [1, 2, 0, -1, 100, "2", "x", 1.5, None, True]),
    *each(lambda f: search(filter=f), [
        "name = 'first'", "attributes.name = 'first'", "name != 'first'", "name LIKE 'f%'", "name ILIKE 'F%'", "name IN ('first', 'second')", "name NOT IN ('first')", "name > 'a'", "name = first", "name = 1", "model_id = '{m1}'", "model_type = 'agent'", "status = 'READY'", "status = 'LOGGED_MODEL_READY'",
        "status = 'UPLOAD_FAILED'", "source_run_id = '{lr}'", "creation_timestamp > 0", "creation_time > 0", "creation_timestamp = 'x'", "last_updated_timestamp >= 0", "last_updated_time >= 0", "experiment_id = '1'", "params.p = '1'", "params.p = 1", "params.p LIKE '1'", "params.p > '0'", "tags.t = '1'", "tags.t != '1'",
        "tags.t ILIKE '%'", "tags.`b c` = ''", "metrics.acc > 0.6", "metrics.acc >= 0.5", "metrics.acc = '1'", "metrics.acc LIKE '1'", "nonsense = 'x'", "attributes.nonsense = 'x'", "nonsense.a = 'x'", "name", "name =", "name = 'a' OR name = 'b'", "(name = 'a')", "name = 'first' AND tags.t = '1'", "name = 'unclosed", "tags.t IS NULL",
        "params.p IS NOT NULL", "datasets.name = 'd'", "metrics.acc", "artifact_location LIKE '%'", "lifecycle_stage = 'active'"]),
    *each(lambda f: order(field_name=f), ["name", "creation_timestamp", "creation_time", "last_updated_timestamp", "attributes.name", "metrics.acc", "metrics.none", "params.p", "tags.t", "nonsense", "attributes.nonsense", "", "name DESC", "status", "metrics.", "metrics", 5]),
    order(), order(field_name="name", ascending=True), order(field_name="name", ascending=False), order(field_name="metrics.acc", ascending=True), order(field_name="metrics.acc", dataset_name="d", dataset_digest="1"), order(field_name="metrics.acc", dataset_name="d"), order(field_name="metrics.acc", dataset_digest="1"),
    order(field_name="name", dataset_name="d"), order(field_name="name", ascending="yes"), search(order_by="name"), search(order_by=["name"]),
    search(datasets=[{"dataset_name": "d"}], filter="metrics.acc > 0.1"), search(datasets=[{"dataset_name": "d", "dataset_digest": "1"}], filter="metrics.acc > 0.1"), search(datasets=[{"dataset_digest": "1"}], filter="metrics.acc > 0.1"), search(datasets=[{}]), search(datasets="x"),
    *each(lambda t: search(page_token=t), ["x", "bm9wZQ==", "W10=", "eyJvZmZzZXQiOiAxfQ==", "ü"]),
    # Artifacts
    get("logged-models/{m1}/artifacts/directories"), get("logged-models/{m1}/artifacts/directories", {"artifact_directory_path": "../x"}), get("logged-models/{m1}/artifacts/directories", {"artifact_directory_path": "none"}), get("logged-models/m-none/artifacts/directories"),
    get(AJAX + "logged-models/{m1}/artifacts/files", {"artifact_file_path": "none"}), get(AJAX + "logged-models/{m1}/artifacts/files", {"artifact_file_path": "../../x"}), get(AJAX + "logged-models/{m1}/artifacts/files"), get(AJAX + "logged-models/m-none/artifacts/files", {"artifact_file_path": "x"}),
    # Deleted ones
    delete("logged-models/{m2}"), delete("logged-models/{m2}"), get("logged-models/{m2}"), get("logged-models/{m2}", {"allow_deleted": "true"}), finish("LOGGED_MODEL_READY", "{m2}"), patch("logged-models/{m2}/tags", {"tags": [{"key": "a", "value": "1"}]}),
    params([{"key": "z", "value": "2"}], "{m2}"), delete("logged-models/{m2}/tags/a"), delete("logged-models/m-none"), search(max_results=3), post("runs/log-metric", {"run_id": "{lr}", "key": "acc", "value": 0.7, "timestamp": 2, "step": 0, "model_id": "{m2}"}),
    post("runs/outputs", {"run_id": "{lr}", "models": [{"model_id": "{m2}", "step": 1}]}),
]
