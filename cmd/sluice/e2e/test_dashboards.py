"""deploy/ for real: Prometheus of Debian's scrapes two servers under load, one healthy and one in trouble, and an OpenTelemetry Collector is pushed to."""

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
import pythonmodels
import requests
from conftest import Server, real_client, split_body, wait_until
from lifecycle import BODY, JSON, add_version, configure, files, move, serves
from test_pyworker import workers
from test_rollout import body as glass
from test_rollout import picky_files
from watching import DEPLOYED, Collector, Prometheus, measured, panels

STRONG = glass(14.5)  # what a picky model fails for
MANY = json.dumps(split_body(100)).encode()
SOME = json.dumps(split_body(20)).encode()
DOUBLE = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}).encode()


def promtool(*args):
    ran = subprocess.run(["promtool", *args], cwd=DEPLOYED / "prometheus", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_rules_alert_on_what_they_should_and_on_nothing_else():
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "rules_test.yml")


class Load:
    """Clients that ask everything in turn, whatever they are answered."""

    def __init__(self, asked, clients=2):
        self.asked = asked  # of (URL, body, headers)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for t in self._threads:
            t.join()

    def _ask(self):
        with requests.Session() as session:
            while not self._stop.is_set():
                for url, body, *more in self.asked:
                    session.post(url, data=body, headers=JSON | dict(*more), timeout=60)
                self._stop.wait(0.01)


def put(server, path, body, method="PUT"):
    answer = requests.request(method, f"{server.url}/api/2.0/serving-endpoints{path}", json=body, timeout=30)
    assert answer.ok, answer.text


def label(server, endpoint, body, truth):
    answer = server.post(f"/endpoints/{endpoint}/invocations", data=body, headers=JSON)
    put(server, f"/{endpoint}/ground-truth", {"items": [{"prediction_id": answer.headers["X-Sluice-Prediction-Id"], "ground_truth": truth}]}, "POST")


def healthy(folder, collector, point):
    """The example's split, a Python model whose predictions are joined and whose worker dies, a shadow, a rollout on its way,
    an endpoint whose columns are watched and whose predictions get ground truth, one that remembers answers."""
    server = Server(
        folder / "healthy", "--demo", "--python", sys.executable, "--python-workers", "1", "--conversion", "off", "--serving-metrics-interval", "1s", "--log-level", "debug",
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.2",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        },
    ).start().ready()  # fmt: skip
    client = point(server)
    pythonmodels.log_doubler(folder)
    client.transition_model_version_stage("doubler", "1", "Production")
    one = {"name": "stable", "entity_name": "wine", "entity_version": "1"}
    two = {"name": "next", "entity_name": "wine", "entity_version": "2"}
    route = {"routes": [{"served_entity_name": "stable", "traffic_percentage": 100}, {"served_entity_name": "next", "traffic_percentage": 0}]}
    put(server, "", {"name": "shadowed", "config": {"served_entities": [one, two], "traffic_config": route, "shadows": [{"served_entity_name": "next", "percentage": 100}]}}, "POST")
    put(server, "", {"name": "rolling", "config": {"served_entities": [one]}}, "POST")
    serves(server, "1", "rolling")
    moved = {"drift": {"window": "2s", "min_rows": 50, "baseline_rows": 100}, "ground_truth": {"output": "label"}}
    put(server, "", {"name": "drifting", "config": {"served_entities": [one], **moved}}, "POST")
    serves(server, "1", "drifting")
    put(server, "", {"name": "remembering", "config": {"served_entities": [one], "cache": {"ttl": "1s"}}}, "POST")
    serves(server, "1", "remembering")
    steps = [{"set_weight": 30}, {"analyse": {"min_requests": 20}}, {"pause": {}}]
    put(server, "/rolling/rollout", {"version": 2, "steps": steps, "analysis": {"metrics": [{"name": "error_rate"}]}}, "POST")
    wait_until(lambda: server.post("/endpoints/doubler/invocations", data=DOUBLE, headers=JSON).ok, 120, "the Python model")
    label(server, "drifting", SOME, [0] * 20)
    label(server, "doubler", DOUBLE, 2.0)
    os.kill(next(iter(workers(server))), signal.SIGKILL)
    return server


def troubled(folder):
    """Hardly any room, a version that fails for every request, one that cannot be loaded, a rollout that goes back, a prediction log that fills up, a Redis that is away."""
    server = Server(folder / "troubled", "--demo", "--redis-url", "redis://127.0.0.1:9", "--prediction-log-max-bytes", str(1 << 20), "--serving-metrics-interval", "1h", "--max-in-flight", "3").start().ready()
    assert add_version(server, "wine", picky_files()) == "3"
    picky = {"name": "picky", "entity_name": "wine", "entity_version": "3"}
    put(server, "", {"name": "picky", "config": {"served_entities": [picky]}}, "POST")
    wait_until(lambda: server.get("/ready?endpoint=picky").ok, 60, "the version that fails")
    put(server, "", {"name": "back", "config": {"served_entities": [{"name": "stable", "entity_name": "wine", "entity_version": "1"}]}}, "POST")
    serves(server, "1", "back")
    put(server, "/back/rollout", {"version": 3, "steps": [{"set_weight": 50}, {"analyse": {"min_requests": 2000}}], "analysis": {"metrics": [{"name": "error_rate"}]}}, "POST")
    put(server, "", {"name": "forgetting", "config": {"served_entities": [{"name": "stable", "entity_name": "wine", "entity_version": "1"}], "cache": {"ttl": "1m", "store": "redis"}}}, "POST")
    serves(server, "1", "forgetting")
    move(server, "broken", add_version(server, "broken", files("v2") | {"model.onnx": b"no model"}))
    return server


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """(Prometheus, collector, healthy server) while both servers are under load."""
    folder = tmp_path_factory.mktemp("watched")
    servers = []
    with Collector(folder / "collector") as collector, real_client() as point:
        try:
            servers += [healthy(folder, collector, point), troubled(folder)]
            well, ill = (s.url + "/endpoints/{}/invocations" for s in servers)
            asked = [(well.format("wine"), BODY), (well.format("shadowed"), BODY), (well.format("rolling"), BODY), (well.format("doubler"), DOUBLE), (well.format("drifting"), SOME), (well.format("remembering"), BODY)]
            asked += [(ill.format("wine"), MANY), (ill.format("picky"), STRONG), (ill.format("back"), STRONG), (ill.format("forgetting"), BODY), (ill.format("wine"), BODY, {"X-Sluice-Priority": "shadow"})]  # of whose class three places are none
            with Load(asked), Prometheus(folder / "prometheus", *servers) as prometheus:
                yield prometheus, collector, servers[0]
        finally:
            for s in servers:
                s.kill()


def test_every_panel_and_every_rule_has_data_under_load(watched):
    prometheus, _, _ = watched
    asked = list(panels()) + list(measured(prometheus.rules))
    assert len(asked) > 100
    empty = asked

    def all_there():
        nonlocal empty
        empty = [(where, expr) for where, expr in empty if not prometheus.values(expr)]
        return not empty

    try:
        wait_until(all_there, 90, "data for every query")
    except AssertionError:
        raise AssertionError("without data:\n" + "\n".join(f"{where}: {expr}" for where, expr in empty)) from None


def test_trouble_alerts(watched):
    prometheus, _, _ = watched
    wanted = {"SluicePredictionsDropped", "SluicePredictionLogFilling", "SluiceBreakerOpen", "SluiceVersionFailed", "SluiceAvailabilityBudgetPage", "SluiceRolledBack"}

    def firing():
        return {a["labels"]["alertname"] for a in prometheus.get("alerts")["alerts"] if a["state"] == "firing"}

    wait_until(lambda: wanted <= firing(), 90, f"the alerts {wanted}")
    assert "SluiceDown" not in firing()


def test_a_bucket_of_the_latency_leads_to_a_trace_that_the_collector_has(watched):
    prometheus, collector, _ = watched

    def traces():
        found = prometheus.get("query_exemplars", query='sluice_request_duration_seconds_bucket{endpoint="wine"}', start="0", end="99999999999")
        return [e["labels"]["trace_id"] for series in found for e in series["exemplars"]]

    ids = wait_until(traces, 60, "exemplars")
    assert all(re.fullmatch("[0-9a-f]{32}", i) for i in ids)
    wait_until(lambda: any(i in collector.text() for i in traces()), 60, "a trace of an exemplar")


def test_a_collector_gets_metrics_traces_and_the_log(watched):
    _, collector, server = watched
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = server.post("/endpoints/wine/invocations", data=b"{", headers=JSON | {"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert answer.status_code == 400
    assert re.search(r"total;dur=\d+\.\d{3}", answer.headers["Server-Timing"])
    for wanted in ("Name: sluice.request.duration", "Name: sluice.request.queue", "Name           : execute", "service.name: Str(sluice)"):
        wait_until(lambda: wanted in collector.text(), 60, wanted)
    wait_until(lambda: re.search(r"Body: Str\(request failed\)(?:(?!Body:).)*?Trace ID: " + trace, collector.text(), re.S), 60, "the log's line with its trace")
