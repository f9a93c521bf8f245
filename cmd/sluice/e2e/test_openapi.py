"""The OpenAPI document says what Sluice's own API answers, all of it: every route is asked, and a field without a schema fails."""

import json

import pytest
import requests
from conftest import Server, split_body, wait_until
from lifecycle import BODY, JSON, add_version, files, move
from predictions import Posts
from test_routing import EXAMPLE

API = "/api/2.0/serving-endpoints"
OWN = "/api/2.0/sluice"
# These are refused, whatever is asked: there is no success to describe.
REFUSED = {("post", f"{API}/pt"), ("put", f"{API}/{{name}}/ai-gateway"), ("patch", f"{API}/{{name}}/notifications")}


@pytest.fixture
def wine(tmp_path):
    """The README's endpoint, with every part in use, after a crash."""
    server = Server(
        tmp_path / "data", "--webhook-allow-private", "--webhook-allowed-schemes", "http,https", "--serving-metrics-interval", "1s",
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
    ).start()  # fmt: skip
    for version in ("v1", "v2"):
        add_version(server, "wine", files(version))
    move(server, "wine", "1")
    server.api("POST", "registered-models/alias", {"name": "wine", "alias": "challenger", "version": "2"})
    made = server.post(API, json=json.loads(EXAMPLE.read_text()))
    assert made.ok, made.text
    assert wait_until(lambda: predict(server).ok, what="wine answers")
    server.kill()
    server.start().ready()
    assert wait_until(lambda: predict(server).ok, what="wine answers again")
    yield server
    server.stop()


def predict(server, endpoint="wine", **headers):
    return server.post(f"/endpoints/{endpoint}/invocations", data=BODY, headers=JSON | headers)


def send(server, method, path, body=None, status=200):
    answer = requests.request(method, server.url + path, json=body, timeout=60)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json() if answer.headers["Content-Type"].startswith("application/json") else answer.text


def endpoints(server):
    send(server, "GET", API)
    send(server, "GET", API + "/")
    send(server, "GET", f"{API}/wine")
    send(server, "POST", API + "/", {"name": "short", "config": {"served_entities": [{"name": "stable", "entity_name": "wine", "entity_version": "2"}]}})
    assert send(server, "PATCH", f"{API}/short/tags", {"add_tags": [{"key": "team", "value": "cellar"}]})["tags"]
    assert send(server, "PUT", f"{API}/short/rate-limits", {"rate_limits": [{"calls": 1000, "key": "endpoint", "renewal_period": "minute"}]})["rate_limits"]
    send(server, "DELETE", f"{API}/short")
    send(server, "PUT", f"{API}/wine/config", json.loads(EXAMPLE.read_text())["config"] | {"sampling_fraction": 1, "cache": None})
    for method in ("GET", "POST"):
        explained = send(server, method, f"{API}/wine/explain?preview=1")
        assert explained["rules"] and explained["arms"] and explained["shadows"], explained
    for path in ("/metrics", "/events", "/served-models/stable/logs", "/served-models/stable/build-logs", "/openapi"):
        assert send(server, "GET", f"{API}/wine{path}"), path
    assert send(server, "GET", "/api/2.0/endpoints")["endpoints"]
    send(server, "GET", "/api/2.0/endpoints/wine")
    send(server, "GET", "/ready?endpoint=wine")
    send(server, "GET", f"{API}/nobody", status=404)


def rollouts(server):
    one = {"name": "stable", "entity_name": "wine", "entity_version": "1"}
    send(server, "POST", API, {"name": "rolling", "config": {"served_entities": [one]}})
    wait_until(lambda: predict(server, "rolling").ok, what="rolling answers")
    plan = {"version": 2, "steps": [{"set_weight": 50}, {"analyse": {"min_requests": 20}}, {"pause": {}}], "analysis": {"metrics": [{"name": "error_rate"}, {"name": "latency_ratio"}]}}
    send(server, "POST", f"{API}/rolling/rollout", plan)
    wait_until(lambda: predict(server, "rolling").ok and send(server, "GET", f"{API}/rolling/rollout")["metrics"], what="findings")
    send(server, "POST", f"{API}/rolling/rollout/abort")
    wait_until(lambda: not send(server, "GET", f"{API}/rolling/rollout")["active"], what="the rollout's end")
    again = requests.post(f"{server.url}{API}/rolling/rollout", json={"version": 2, "steps": [{"set_weight": 50}, {"pause": {}}]}, timeout=60)
    assert again.ok, again.text
    send(server, "POST", f"{API}/rolling/rollout/promote", {"full": True})
    assert len(send(server, "GET", f"{API}/rolling/rollouts")["rollouts"]) == 2
    assert send(server, "GET", f"{OWN}/rollouts")["rollouts"]


def predictions(server):
    """Records, what they should have been, and how their columns compare."""
    moved = {"drift": {"window": "1s", "min_rows": 50, "baseline_rows": 100}, "ground_truth": {"output": "label"}, "served_entities": [{"name": "stable", "entity_name": "wine", "entity_version": "1"}]}
    send(server, "POST", API, {"name": "watched", "config": moved})
    wait_until(lambda: predict(server, "watched").ok, what="watched answers")
    ids = [predict(server, "watched").headers["X-Sluice-Prediction-Id"] for _ in range(20)]
    assert send(server, "GET", f"{OWN}/predictions/{ids[0]}")["prediction"]["endpoint"] == "watched"
    assert wait_until(lambda: send(server, "GET", f"{OWN}/predictions?endpoint=watched&limit=5")["predictions"], what="records")
    for form in ("jsonl", "csv", "arrow", "parquet"):
        assert server.get(f"{OWN}/predictions", params={"format": form, "limit": 1}).ok
    assert wait_until(lambda: send(server, "GET", f"{OWN}/predictions/gaps")["gaps"], what="the gap that the kill left")
    truth = {"items": [{"prediction_id": i, "ground_truth": [0]} for i in ids] + [{"key": 1, "ground_truth": 0}]}
    assert send(server, "POST", f"{API}/watched/ground-truth", truth)["items"]
    wait_until(lambda: send(server, "GET", f"{API}/watched/quality")["versions"], what="quality")

    many = json.dumps(split_body(100)).encode()

    def compared():
        server.post("/endpoints/watched/invocations", data=many, headers=JSON)
        return [v for v in send(server, "GET", f"{API}/watched/drift")["versions"] if v.get("columns")]

    wait_until(compared, 60, "compared columns")


def tracking(server):
    run = server.api("POST", "runs/create", {"experiment_id": "0", "run_name": "gone"})["run"]["info"]["run_id"]
    bundle = server.get(f"{OWN}/bundles/export", params={"kind": "run", "id": run})
    assert bundle.ok, bundle.text
    assert server.post(f"{OWN}/bundles/import?skip_existing=true", data=bundle.content).json()["skipped"]
    server.api("POST", "runs/delete", {"run_id": run})
    assert send(server, "POST", f"{OWN}/gc/preview", {"ids": [run]})["items"]
    assert send(server, "POST", f"{OWN}/gc/run", {"ids": [run]})["items"]


def webhooks(server):
    with Posts() as posts:
        hook = server.api("POST", "webhooks", {"name": "ci", "url": posts.url + "/hook", "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}]})["webhook"]["webhook_id"]
        posts.status = 503
        server.api("POST", "registered-models/create", {"name": "heard"})
        deliveries = f"{OWN}/webhooks/{hook}/deliveries"
        wait_until(lambda: send(server, "GET", deliveries + "?state=pending")["deliveries"][0].get("last_response_status"), what="a failed attempt")
        send(server, "GET", deliveries)
        send(server, "POST", deliveries + "/replay", {})


def test_every_answer_of_ours_is_described(wine, watch):
    send(wine, "GET", "/ready")
    document = watch.document
    document.met.clear()
    for part in (endpoints, rollouts, predictions, tracking, webhooks):
        part(wine)
    send(wine, "GET", "/ready")
    assert document.operations() - REFUSED - document.met == set()


def test_what_the_document_does_not_describe_is_noticed(server, watch):
    """The check itself: fields more and less, another type, another medium."""
    answer = server.get("/ready").json()
    problem = lambda value, media="application/json": watch.document.problem("GET", "/ready", 200, media, json.dumps(value))
    assert problem(answer) is None
    assert "more" in problem(answer | {"more": 1})
    assert "waiting" in problem({k: v for k, v in answer.items() if k != "waiting"})
    assert "'yes'" in problem(answer | {"ready": "yes"})
    assert "text/html" in problem(answer, "text/html")
    assert "error_code" in watch.document.problem("GET", f"{API}/nobody", 404, "application/json", "{}")
    assert "not in the document" in watch.document.problem("GET", f"{OWN}/new", 200, "application/json", "{}")
