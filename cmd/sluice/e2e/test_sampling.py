"""R43: a share of requests is logged, chosen by their ids: both arms and the shadow keep the same ones, and what is left out is counted."""

import collections
import json
import math

import requests
from conftest import Server, split_body, wait_until
from lifecycle import BODY, JSON, add_version, files
from test_replay import counter, sluice
from test_shadow import metric

IDS, FRACTION = 200, 0.25


def configure(server):
    body = {
        "served_entities": [{"name": n, "entity_name": "wine", "entity_version": v} for n, v in (("stable", "1"), ("canary", "2"), ("copy", "3"))],
        "traffic_config": {"routes": [{"served_entity_name": n, "traffic_percentage": p} for n, p in (("stable", 50), ("canary", 50), ("copy", 0))]},
        "shadows": [{"served_entity_name": "copy", "percentage": 100}],
        "sampling_fraction": FRACTION,
        "ground_truth": {"key": "alcohol", "output": "label"},
    }
    answer = requests.put(server.url + "/api/2.0/serving-endpoints/wine/config", json=body, timeout=30)
    assert answer.ok, answer.text
    wait_until(lambda: all(server.get(f"/v2/models/wine/versions/{v}/ready").ok for v in (1, 2, 3)), what="three versions")


def query(server, **parameters):
    answer = server.get("/api/2.0/sluice/predictions", params={"endpoint": "wine", "format": "jsonl"} | parameters)
    assert answer.ok, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_both_arms_and_the_shadow_keep_the_same_ids(tmp_path):
    server = Server(tmp_path / "data", "--demo", "--serving-metrics-interval", "300ms").start().ready()
    add_version(server, "wine", files("v2"))
    configure(server)
    arms = collections.defaultdict(set)
    with requests.Session() as session:
        for i in [*range(IDS), *range(IDS)]:  # each id twice, so that many are answered by both arms
            answer = session.post(server.url + "/endpoints/wine/invocations", data=BODY, headers=JSON | {"X-Request-Id": f"id-{i}"}, timeout=30)
            assert answer.ok, answer.text
            arms[f"id-{i}"].add(answer.headers["X-Sluice-Arm"])
    copies = {"endpoint": "wine", "arm": "copy"}
    wait_until(lambda: metric(server, "sluice_shadow_requests_total", result="answered", **copies) == 2 * IDS, 60, "every copy")
    rows = wait_until(lambda: (lambda r: r if len(r) + counter(server, "predlog_skipped_total") >= 4 * IDS else None)(query(server)), 60, "what is logged")
    assert len(rows) + counter(server, "predlog_skipped_total") == 4 * IDS
    assert {r["sampling_fraction"] for r in rows} == {FRACTION}
    kept = collections.Counter((r["client_request_id"], r["shadow"]) for r in rows)
    ids = {i for i, _ in kept}
    assert all(kept[i, False] == kept[i, True] == 2 for i in ids), kept
    assert any(arms[i] == {"stable", "canary"} for i in ids), "an id that both arms answered"
    assert {r["arm"] for r in rows} == {"stable", "canary", "copy"}
    assert abs(len(ids) - IDS * FRACTION) <= 3 * math.sqrt(IDS * FRACTION * (1 - FRACTION)), len(ids)

    # The documented filters, against what was just logged.
    given = [r for r in rows if not r["shadow"]]
    key = str(split_body()["dataframe_split"]["data"][0][split_body()["dataframe_split"]["columns"].index("alcohol")])
    slow = sorted(r["latency_ns"] for r in rows)[len(rows) // 2]
    for parameters, wanted in (
        ({"shadow": "false"}, given),
        ({"arm": "canary"}, [r for r in rows if r["arm"] == "canary"]),
        ({"model_version": "3"}, [r for r in rows if r["shadow"]]),
        ({"status_code": "2xx", "model_name": "wine"}, rows),
        ({"status_code": "400-599"}, []),
        ({"key": key}, rows),
        ({"key": key + "1"}, []),
        ({"min_latency_ms": slow / 1e6}, [r for r in rows if r["latency_ns"] >= int(slow / 1e6 * 1e6)]),
        ({"max_latency_ms": slow / 1e6, "shadow": "false"}, [r for r in given if r["latency_ns"] <= int(slow / 1e6 * 1e6)]),
        ({"client_request_id": rows[0]["client_request_id"]}, [r for r in rows if r["client_request_id"] == rows[0]["client_request_id"]]),
        ({"from": rows[0]["timestamp_ms"] + 3_600_000}, []),
    ):
        got = query(server, **parameters)
        assert {r["databricks_request_id"] for r in got} == {r["databricks_request_id"] for r in wanted}, parameters
        assert len(got) == len(wanted), parameters
    ran = sluice(server, "predictions", "export", "-", "--format", "csv", "--endpoint", "wine", "--key", key, "--arm", "stable", "--max-latency-ms", "60000")
    assert ran.returncode == 0 and len(ran.stdout.splitlines()) == 1 + sum(r["arm"] == "stable" for r in rows), ran.stderr
    refused = sluice(server, "predictions", "tail", "--key", key)
    assert refused.returncode == 1 and "endpoint" in refused.stderr
    assert server.stop() == 0
