"""Histories of metrics: one run, many runs, intervals, pages."""

from goldens import AJAX, each, get, post


def history(**q):
    return get("metrics/get-history", {"run_id": "{h}", "metric_key": "m", "max_results": 3} | q)


def bulk(**q):
    return get(AJAX + "metrics/get-history-bulk", {k: v for k, v in ({"run_id": "{h}", "metric_key": "m", "max_results": 3} | q).items() if v is not None})


def interval(**q):
    return get(AJAX + "metrics/get-history-bulk-interval", {k: v for k, v in ({"run_ids": ["{h}"], "metric_key": "m", "max_results": 3} | q).items() if v is not None})


CASES = [
    post("runs/create", {"experiment_id": "0", "run_name": "history", "start_time": 1}, keep={"h": "run.info.run_id"}),
    post("runs/create", {"experiment_id": "0", "run_name": "history 2", "start_time": 2}, keep={"h2": "run.info.run_id"}),
    post("runs/log-batch", {"run_id": "{h}", "metrics": [{"key": "m", "value": v, "timestamp": t, "step": s} for v, t, s in [(1, 5, 0), (2, 4, 1), (3, 4, 1), ("NaN", 6, 2), ("Infinity", 6, 3), (-1, 7, -4), (1, 5, 0)]]}),
    post("runs/log-batch", {"run_id": "{h}", "metrics": [{"key": "long", "value": i / 2, "timestamp": i, "step": i} for i in range(50)]}),
    post("runs/log-batch", {"run_id": "{h2}", "metrics": [{"key": "long", "value": i / 4, "timestamp": i, "step": 2 * i} for i in range(30)]}),
    *each(lambda n: history(max_results=n), [1, 2, 5, 6, 7, 100, 25000, 50000, "3"]),
    *each(lambda n: history(max_results=n, page_token=""), [100]),
    *each(lambda n: history(max_results=n), ["x", "1.5", "", -1], ),
    get("metrics/get-history", {"run_id": "{h}", "metric_key": "m"}), get("metrics/get-history", {"run_id": "{h}", "metric_key": "none"}), get("metrics/get-history", {"run_id": "{h}"}), get("metrics/get-history", {"metric_key": "m"}),
    get("metrics/get-history"), get("metrics/get-history", {"run_uuid": "{h}", "metric_key": "m", "max_results": 2}), history(run_id="f" * 32), history(run_id=""), history(metric_key=""), history(metric_key="a#b"), history(metric_key="k" * 300),
    *each(lambda t: history(page_token=t), ["x", "bm9wZQ==", "eyJvZmZzZXQiOiAieCJ9", "W10="]),
    # Many runs
    bulk(), bulk(run_id=["{h}", "{h2}"], metric_key="long", max_results=100), bulk(run_id=None), bulk(metric_key=None), bulk(run_id="f" * 32), bulk(run_id=["{h}", "f" * 32]), bulk(run_id=["{h}"] * 100), bulk(run_id=["{h}"] * 101),
    *each(lambda n: bulk(max_results=n), [1, 2, 25000, 25001, 0, -1, "x", "", None]), bulk(metric_key="none"), bulk(metric_key=""), bulk(run_id=""),
    # Intervals
    interval(), interval(metric_key="long", max_results=5), interval(run_ids=["{h}", "{h2}"], metric_key="long", max_results=4), interval(run_ids=None), interval(metric_key=None), interval(metric_key="none"), interval(run_ids=["f" * 32]),
    interval(run_ids=["{h}"] * 101, metric_key="long"), interval(run_ids="{h}", metric_key="long", max_results=1),
    *each(lambda n: interval(metric_key="long", max_results=n), [1, 2, 2500, 2501, 0, -1, "x", "", None]),
    interval(metric_key="long", start_step=10, end_step=20), interval(metric_key="long", start_step=20, end_step=10), interval(metric_key="long", start_step=10), interval(metric_key="long", end_step=10),
    interval(metric_key="long", start_step=0, end_step=0), interval(metric_key="long", start_step="x", end_step=10), interval(metric_key="long", start_step=-5, end_step=5), interval(metric_key="long", start_step=1000, end_step=2000),
    interval(metric_key="long", start_step=1.5, end_step=5), interval(metric_key="", start_step=1),
]
