"""The real MLflow's side of TestAgainstMLflow: argv = the address of the database that we wrote, a file with filters.

Prints one JSON object: "before" (what MLflow reads in the database), "after" (the same when it has written its own part) and
"filters" (null for an accepted filter of the cases file, else the text of the refusal).
"""

import json
import math
import sys

from mlflow.entities import (
    Dataset, DatasetInput, ExperimentTag, InputTag, LoggedModelInput, LoggedModelOutput, LoggedModelParameter, LoggedModelStatus, LoggedModelTag,
    Metric, Param, RunStatus, RunTag, ViewType,
)
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

database, cases = sys.argv[1:]
store = Tracking(database, "mlflow-artifacts:/")
registry = Registry(database)


def number(x):
    return "NaN" if math.isnan(x) else float(x)


def pairs(d):
    return dict(sorted(d.items()))


def experiment(e):
    return {
        "name": e.name, "location": e.artifact_location, "stage": e.lifecycle_stage, "tags": pairs(e.tags),
        "created": e.creation_time, "updated": e.last_update_time,
    }


def run(run_id):
    r = store.get_run(run_id)
    return {
        "name": r.info.run_name, "experiment": r.info.experiment_id, "user": r.info.user_id, "status": r.info.status, "start": r.info.start_time,
        "end": r.info.end_time or 0, "uri": r.info.artifact_uri, "stage": r.info.lifecycle_stage,
        "metrics": {m.key: [number(m.value), m.timestamp, m.step] for m in r.data._metric_objs},
        "history": {
            k: [[number(m.value), m.timestamp, m.step] for m in store.get_metric_history(run_id, k)] for k in r.data.metrics
        },
        "params": pairs(r.data.params), "tags": pairs(r.data.tags),
        "datasets": sorted(
            [d.dataset.name, d.dataset.digest, d.dataset.source_type, d.dataset.source, d.dataset.schema or "", d.dataset.profile or "",
             pairs({t.key: t.value for t in d.tags})]
            for d in r.inputs.dataset_inputs
        ),
        "inputs": sorted(m.model_id for m in r.inputs.model_inputs),
        "outputs": sorted([m.model_id, m.step] for m in r.outputs.model_outputs),
    }


def model(m):
    return {
        "name": m.name, "experiment": m.experiment_id, "location": m.artifact_location, "status": int(m.status.to_int()), "type": m.model_type,
        "run": m.source_run_id, "created": m.creation_timestamp, "updated": m.last_updated_timestamp, "params": pairs(m.params), "tags": pairs(m.tags),
        "metrics": sorted([x.key, x.value, x.timestamp, x.step, x.run_id, x.dataset_name or "", x.dataset_digest or ""] for x in m.metrics or []),
    }


def everything():
    experiments = store.search_experiments(view_type=ViewType.ALL)
    ids = [e.experiment_id for e in experiments]
    return {
        "experiments": {e.experiment_id: experiment(e) for e in experiments},
        "runs": {r.info.run_id: run(r.info.run_id) for r in store.search_runs(ids, None, ViewType.ALL)},
        "models": {m.model_id: model(m) for m in store.search_logged_models(ids)},
    }


def write():
    e = store.create_experiment("theirs", tags=[ExperimentTag("k", "v")])
    store.delete_experiment(store.create_experiment("theirs, gone", "s3://bucket/gone"))
    r = store.create_run(e, "bob", 123, [RunTag("t", "1")], "their run").info.run_id
    store.log_batch(
        r, [Metric("m", 1.5, 5, 1), Metric("m", -2, 6, 2), Metric("nan", float("nan"), 7, 0), Metric("inf", float("inf"), 7, 0),
         Metric("far", 0.1, 2**62, 2**62), Metric("far", -0.1, 2**40, -(2**62)), Metric("-inf", float("-inf"), 7, 0)],
        [Param("p/a", "é"), Param("empty", "")], [RunTag("u", "2")],
    )
    m = store.create_logged_model(e, "their-model", r, [LoggedModelTag("a", "b")], [LoggedModelParameter("lr", "1")], "agent")
    store.log_metric(r, Metric("acc", 0.25, 8, 3, model_id=m.model_id, dataset_name="d", dataset_digest="1", run_id=r))
    store.finalize_logged_model(m.model_id, LoggedModelStatus.READY)
    store.log_inputs(
        r, [DatasetInput(Dataset("d", "1", "local", "{}", "schema", None), [InputTag("mlflow.data.context", "eval")])], [LoggedModelInput(m.model_id)]
    )
    store.log_outputs(r, [LoggedModelOutput(m.model_id, 9)])
    store.update_run_info(r, RunStatus.FAILED, 456, "renamed by them")
    store.delete_run(store.create_run(e, "bob", 1, [], None).info.run_id)


ask = {
    "runs": lambda text: store.search_runs(["0"], text, ViewType.ALL),
    "experiments": lambda text: store.search_experiments(filter_string=text),
    "registered models": lambda text: registry.search_registered_models(filter_string=text, max_results=5),
    "model versions": lambda text: registry.search_model_versions(filter_string=text, max_results=5),
    "logged models": lambda text: store.search_logged_models(["0"], filter_string=text),
    "traces": lambda text: store.search_traces(locations=["0"], filter_string=text),
}


def filters():
    answers, grammar = [], None
    for line in open(cases, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("["):
            grammar = line.strip("[]")
        elif line and line[0] not in "#\t":
            try:
                ask[grammar](line)
                answers.append(None)
            except Exception as e:
                answers.append(getattr(e, "message", None) or f"{type(e).__name__}: {e}")
    return answers


before = everything()
write()
print(json.dumps({"before": before, "after": everything(), "filters": filters()}))
