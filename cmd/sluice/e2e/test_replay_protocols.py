"""What was recorded of the Open Inference Protocol, as JSON, as bytes and by gRPC, is asked again, warms up, and meets ground truth as MLflow's is."""

import json

import numpy as np
import pytest
import requests
import tritonclient.grpc as by_grpc
import tritonclient.http as by_http
from conftest import wait_until
from grape import tensors
from lifecycle import add_version, configure, files, serves
from test_grpc import start
from test_replay import counter, sluice

EACH = 6


KINDS = ("json", "bytes", "grpc")


def alcohol(kind, n):
    """The business key of a request."""
    return 14.0 + n + 100 * KINDS.index(kind)


def ask(client, module, kind, n):
    how = {} if kind == "grpc" else {"binary_data": kind == "bytes"}
    inputs = [i for i in tensors(module, 1, **how) if i.name() != "alcohol"]
    key = module.InferInput("alcohol", [1, 1], "FP64")
    key.set_data_from_numpy(np.array([[alcohol(kind, n)]]), **how)
    outputs = None if kind == "grpc" else [module.InferRequestedOutput(o, **how) for o in ("label", "probabilities")]
    client.infer("wine", [*inputs, key], outputs=outputs, headers={"x-request-id": f"{kind}-{n}"})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A server whose endpoint `wine` has delivered requests of three kinds, six each, answered by version 1; and its gRPC address."""
    server, address = start(tmp_path_factory.mktemp("replay") / "data", "--demo", "--serving-metrics-interval", "300ms")
    server.ready()
    body = {
        "served_entities": [{"name": "stable", "entity_name": "wine", "entity_version": "1"}],
        "traffic_config": {"routes": [{"served_entity_name": "stable", "traffic_percentage": 100}]},
        "ground_truth": {"key": "alcohol", "output": "label"},
    }
    answer = requests.put(server.url + "/api/2.0/serving-endpoints/wine/config", json=body, timeout=30)
    assert answer.ok, answer.text
    wait_until(lambda: server.get("/v2/models/wine/versions/1/ready").ok, what="the endpoint")
    with by_http.InferenceServerClient(server.url.removeprefix("http://")) as http, by_grpc.InferenceServerClient(address) as grpc:
        for n in range(EACH):
            ask(http, by_http, "json", n)
            ask(http, by_http, "bytes", n)
            ask(grpc, by_grpc, "grpc", n)
    wait_until(lambda: counter(server, 'predlog_records_total{state="delivered"}') >= 3 * EACH, 60, "the delivered log")
    yield server, address
    server.stop()


def test_every_kind_is_asked_of_a_candidate(recorded, tmp_path):
    server, _ = recorded
    for candidate, same in (("1", 3 * EACH), ("2", 0)):
        report = tmp_path / f"{candidate}.json"
        ran = sluice(server, "replay", "--endpoint", "wine", "--candidate", candidate, "--json", str(report))
        assert (ran.returncode == 0) == (candidate == "1"), ran.stdout + ran.stderr
        told = json.loads(report.read_text())
        assert (told["records"], told["left_out"], told["failed"], told["different_shapes"], told["same"]) == (3 * EACH, 0, 0, 0, same), told
        assert told["numbers"] == 3 * EACH * 4  # a label and three probabilities


def test_ground_truth_finds_every_kind(recorded):
    server, _ = recorded  # before the load below, whose requests have the same keys
    items = [{"client_request_id": f"{kind}-0", "ground_truth": 0} for kind in KINDS] + [{"key": alcohol(kind, 1), "ground_truth": 1} for kind in KINDS]

    def outcomes():
        return [i["outcome"] for i in server.post("/api/2.0/serving-endpoints/wine/ground-truth", json={"items": items}).json()["items"]]

    wait_until(lambda: set(outcomes()) == {"duplicate"}, 60, "six joined labels")
    quality = wait_until(lambda: [v for v in server.get("/api/2.0/serving-endpoints/wine/quality").json()["versions"] if v["total"]["labels"] == 6], 30, "six labels counted")
    assert quality[0]["total"]["judged"] == 6


def test_a_version_is_warmed_up_by_every_kind(recorded):
    server, _ = recorded
    version = add_version(server, "wine", files("v2"))
    configure(server, "wine", "wine", ("stable", {"entity_version": version}, 100))
    serves(server, version)
    line = wait_until(lambda: next((x for x in server.out if "warmed up by recorded requests" in x and f"wine/{version}" in x), None), 30, "the warm-up")
    assert "requests=16" in line and "failed=0" in line, line


@pytest.mark.parametrize("kind", ["json and bytes", "grpc"])
def test_every_kind_is_a_load(recorded, tmp_path, kind):
    server, address = recorded
    url = f"grpc://{address}/v2/models/wine/infer" if kind == "grpc" else server.url + "/models/wine/versions/1/infer"
    report = tmp_path / "report.json"
    log = "--from-log", str(server.data_dir / "artifacts")
    ran = sluice(server, "loadtest", url, *log, "--duration", "300ms", "--connections", "2", "--json", str(report))
    told = json.loads(report.read_text())
    assert ran.returncode == 0 and told["answered"] > 0 and told["failed"] == 0, ran.stdout + ran.stderr
