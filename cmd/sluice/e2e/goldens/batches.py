"""log-batch: limits, names of fields in messages, duplicates, all or nothing."""

from goldens import Case, each, get, post


def batch(metrics=None, params=None, tags=None, run="{b}", **kw):
    body = {"run_id": run} | {k: v for k, v in (("metrics", metrics), ("params", params), ("tags", tags)) if v is not None}
    return post("runs/log-batch", body, **kw)


def m(key="m", value=1.0, timestamp=1, step=0, **more):
    return {"key": key, "value": value, "timestamp": timestamp, "step": step, **more}


def p(key="p", value="v"):
    return {"key": key, "value": value}


def junk(*args, **kw):
    """A batch for a run that nobody reads: MLflow takes some of what is wrong."""
    return batch(*args, run="{j}", **kw)


def many(make, n):
    return [make(f"k{i}") for i in range(n)]


STATE = get("runs/get", {"run_id": "{b}"})

CASES = [
    post("runs/create", {"experiment_id": "0", "run_name": "batches", "start_time": 1}, keep={"b": "run.info.run_id"}),
    post("runs/create", {"experiment_id": "0", "run_name": "junk", "start_time": 1}, keep={"j": "run.info.run_id"}),
    batch(), batch([], [], []), batch([m()], [p()], [p()]), STATE,
    batch(run=""), batch(run="f" * 32), batch([m()], run="f" * 32), post("runs/log-batch"), post("runs/log-batch", {"run_uuid": "{b}"}), post("runs/log-batch", {"run_id": None}),
    # Limits
    batch(many(m, 1000)), batch(many(m, 1001)), batch(params=many(p, 100)), batch(params=many(p, 101)), batch(tags=many(p, 100)), batch(tags=many(p, 101)),
    batch(many(m, 901), many(p, 100)), batch(many(m, 801), many(p, 100), many(p, 100)), batch(many(m, 1001), many(p, 101), many(p, 101)),
    batch(params=[p("big", "v" * 999000)]), batch(params=[p("bigger", "v" * 1000001)]), batch(tags=[p("big", "v" * 1100000)]), batch(params=many(lambda k: p(k + "long", "v" * 5000), 100), tags=many(lambda k: p(k + "long", "v" * 7000), 100)),
    # Names, where the message tells the place
    *each(lambda k: batch([m("ok"), m(k)]), ["k" * 250, "k" * 251, "a#b", "", "../a", "/a", "ü", " ", 5, None]),
    *each(lambda k: batch(params=[p("ok"), p(k)]), ["k" * 250, "k" * 251, "a#b", "", "../a", "/a", 5, None]),
    *each(lambda k: batch(tags=[p("ok"), p(k)]), ["k" * 250, "k" * 251, "a#b", "", "../a", "/a", 5, None]),
    # Missing fields
    *each(lambda f: batch([m("ok"), {k: v for k, v in m().items() if k != f}]), ["key", "value", "timestamp", "step"]),
    *each(lambda f: batch(params=[p("ok"), {k: v for k, v in p("pq").items() if k != f}]), ["key", "value"]),
    *each(lambda f: batch(tags=[p("ok"), {k: v for k, v in p("tq").items() if k != f}]), ["key", "value"]),
    batch([{}]), batch(params=[{}]), batch(tags=[{}]),
    # Types
    *each(lambda v: junk([m(value=v)]), [None, "", "x", True, [], {}, "NaN", "1.5"]),
    *each(lambda v: junk([m(timestamp=v)]), [None, "", "x", True, [], -1, 1.5, 5.0, "5", 2**63]),
    *each(lambda v: junk([m(step=v)]), [None, 5.0, "5", -1]),
    *each(lambda v: junk([m(step=v)]), ["", "x", True, [], 1.5, 2**63]),
    *each(lambda v: junk(v), ["x", {}, 5, True, [5], ["x"], [None], [[]]]),
    *each(lambda v: junk(params=v), ["x", {}, 5, [5], [None]]),
    *each(lambda v: junk(tags=v), ["x", {}, 5, [5], [None]]),
    *each(lambda v: junk(params=[p("typed", v)]), [5, True, [], None]),
    *each(lambda v: junk(tags=[p("typed", v)]), [5, True, [], None]),
    # Duplicates
    batch(params=[p("twice", "1"), p("twice", "1")]), batch(params=[p("twice", "1"), p("twice", "2")]), batch(tags=[p("twice", "1"), p("twice", "2")]), batch([m("twice"), m("twice")]), batch([m("twice", 1), m("twice", 2)]),
    batch(params=[p("p", "v")]), batch(params=[p("p", "other")]), batch([m("not stored")], [p("p", "other")], [p("not stored")]), STATE,
    batch(params=[p("cut", "v" * 7000)]), batch(params=[p("cut", "v" * 7000)]), batch(params=[p("cut", "v" * 6000)]), batch(tags=[p("cut", "v" * 9000)]), batch(params=[p("empty", "")]), batch(tags=[p("empty", "")]),
    batch(tags=[p("mlflow.runName", "named by a batch")]), batch([m("nan", "NaN"), m("inf", "Infinity"), m("ninf", "-Infinity")]),
    batch([m("latest", 1, 5, 1), m("latest", 2, 4, 2), m("latest", 3, 6, 1)]), batch([m("latest", 9, 1, 2), m("latest", 8, 4, 2)]), STATE,
    # Dataset and model of a metric
    batch([m("with", model_id="m-none")]), batch([m("with", dataset_name="d")]), batch([m("with", dataset_name="d", dataset_digest="1")]), batch([m("with", model_id="")]),
    Case("POST", "runs/log-batch", b'{"run_id": "x", "metrics": [' + b"[" * 2000 + b"]" * 2000 + b"]}", headers={"Content-Type": "application/json"}),
    STATE,
]
