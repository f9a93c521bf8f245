"""Datasets and models as inputs and outputs of runs."""

from goldens import AJAX, each, get, post

DATASET = {"name": "d", "digest": "1", "source_type": "local", "source": "{}", "schema": "s", "profile": "p"}


def dataset(tags=None, run="{i}", **fields):
    d = {k: v for k, v in (DATASET | fields).items() if v is not None}
    return post("runs/log-inputs", {"run_id": run, "datasets": [{"dataset": d} | ({"tags": tags} if tags is not None else {})]})


def inputs(**body):
    """For a run in an experiment that nobody reads: MLflow takes some of what is wrong."""
    return post("runs/log-inputs", {"run_id": "{ix}"} | body)


def outputs(models, **body):
    return post("runs/outputs", {"run_id": "{i}", "models": models} | body)


CASES = [
    post("experiments/create", {"name": "inputs"}, keep={"ie": "experiment_id"}),
    post("runs/create", {"experiment_id": "{ie}", "run_name": "inputs", "start_time": 1}, keep={"i": "run.info.run_id"}),
    post("experiments/create", {"name": "inputs that are wrong"}, keep={"ixe": "experiment_id"}),
    post("runs/create", {"experiment_id": "{ixe}", "run_name": "wrong", "start_time": 1}, keep={"ix": "run.info.run_id"}),
    post("logged-models", {"experiment_id": "{ie}", "name": "im"}, keep={"im": "model.info.model_id"}),
    dataset(), dataset([{"key": "mlflow.data.context", "value": "train"}]), dataset([{"key": "mlflow.data.context", "value": "eval"}]), dataset(source="other", profile="other"), dataset(digest="2", schema=None, profile=None),
    get("runs/get", {"run_id": "{i}"}),
    *each(lambda f: dataset(run="{ix}", **{f: None}), ["name", "digest", "source_type", "source"]), *each(lambda f: dataset(run="{ix}", **{f: ""}), ["name", "digest", "source_type", "source", "schema", "profile"]),
    *each(lambda f: dataset(run="{ix}", **{f: 5}), ["name", "digest", "source_type", "source", "schema", "profile"]),
    dataset(name="n" * 500), dataset(name="n" * 501), dataset(digest="d" * 36), dataset(digest="d" * 37), dataset(source="s" * 65535, digest="3"), dataset(source="s" * 65536), dataset(schema="s" * 1048575, digest="4"), dataset(schema="s" * 1048576),
    dataset(profile="s" * 16777216), dataset(name="a/b#c"), dataset(source_type="s" * 5000, digest="5"),
    dataset([{"key": "k" * 255, "value": "v"}]), dataset([{"key": "k" * 256, "value": "v"}]), dataset([{"key": "k", "value": "v" * 500}]), dataset([{"key": "k2", "value": "v" * 501}]), dataset([{"value": "v"}]), dataset([{"key": "k3"}]),
    dataset([{"key": "", "value": "v"}]), dataset("x"), dataset([5]), dataset([{"key": 5, "value": "v"}]),
    inputs(), inputs(datasets=[]), inputs(datasets="x"), inputs(datasets=[{}]), inputs(datasets=[{"tags": []}]), inputs(datasets=[{"dataset": {}}]), inputs(datasets=[5]), inputs(datasets=[None]), inputs(datasets={}),
    inputs(models=[]), inputs(run_id="{i}", models=[{"model_id": "{im}"}]), inputs(run_id="{i}", models=[{"model_id": "{im}"}]), inputs(models=[{"model_id": "m-none"}]), inputs(models=[{}]), inputs(models="x"), inputs(models=[{"model_id": 5}]),
    post("runs/log-inputs"), post("runs/log-inputs", {"run_id": ""}), post("runs/log-inputs", {"run_id": "f" * 32}), post("runs/log-inputs", {"run_id": "f" * 32, "datasets": [{"dataset": DATASET}]}),
    post("runs/log-inputs", {"run_id": "{i}", "datasets": [{"dataset": DATASET}, {"dataset": DATASET}]}),
    post("runs/log-inputs", {"run_id": "{i}", "datasets": [{"dataset": DATASET | {"digest": f"x{i}"}} for i in range(3)]}),
    outputs([]), outputs([{"model_id": "{im}", "step": 3}]), outputs([{"model_id": "{im}"}]), outputs([{"model_id": "m-none", "step": 1}]), *each(lambda m: outputs(m, run_id="{ix}"), [[{}], [{"model_id": ""}], "x", [5]]), outputs([{"model_id": "{im}", "step": "x"}]),
    outputs([{"model_id": "m-none2", "step": 1.5}], run_id="{ix}"), post("runs/outputs"), post("runs/outputs", {"run_id": "f" * 32, "models": []}), post("runs/outputs", {"run_id": "f" * 32, "models": [{"model_id": "{im}", "step": 1}]}), post("runs/outputs", {"run_id": "{i}"}),
    post("runs/outputs", {"run_id": ""}),
    get("runs/get", {"run_id": "{i}"}),
    post(AJAX + "experiments/search-datasets", {"experiment_ids": ["{ie}"]}),
]
