"""Triton's own client speaks the Open Inference Protocol with us over gRPC: raw tensors, versions, metadata, health, errors, streams, keys, TLS, the way out."""

import json
import queue
import socket
import subprocess
import threading

import grpc
import numpy as np
import pytest
import requests
import tritonclient.grpc as triton
from conftest import BINARY, Server, own_environ, wait_until, wine_rows
from grape import expected, frame, serve, tensors
from lifecycle import add_version
from test_prediction_log import segments
from test_rollout import body as glass
from test_rollout import picky_files
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException


def start(data_dir, *args):
    """A server on a gRPC port that was free a moment ago; another one if somebody was faster."""
    for _ in range(5):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        try:
            return Server(data_dir, "--grpc-port", str(port), *args).start(), f"127.0.0.1:{port}"
        except RuntimeError as error:
            if "address already in use" not in str(error):
                raise
    raise AssertionError("no port was free")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with endpoint `grape`, and its gRPC address."""
    server, address = start(tmp_path_factory.mktemp("sluice") / "data", "--serving-metrics-interval", "500ms")
    serve(server, "grpc")
    yield server, address
    assert server.stop() == 0


@pytest.fixture
def client(served):
    with triton.InferenceServerClient(served[1]) as c:
        yield c


def test_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata().name == "sluice"
    assert client.is_model_ready("grape") and client.is_model_ready("grape", "1")
    assert not client.is_model_ready("grape", "9") and not client.is_model_ready("nobody")
    about = client.get_model_metadata("grape")
    assert sorted(about.versions) == ["1", "2"]
    assert [i.name for i in about.inputs] == wine_rows(1)["columns"]
    assert {(o.name, o.datatype, tuple(o.shape)) for o in about.outputs} == {("label", "INT64", (-1,)), ("probabilities", "FP32", (-1, 3))}


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("n", [1, 5])
def test_infer(served, client, compression, wide, n):
    got = client.infer("grape", tensors(triton, n, wide), request_id="mine-7", compression_algorithm=compression, client_timeout=30)
    label, probabilities = expected(served[0], n)
    assert np.array_equal(got.as_numpy("label"), label)
    assert np.array_equal(got.as_numpy("probabilities"), probabilities)
    answer = got.get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("grape", "2", "mine-7")


def test_typed_contents_headers_and_the_log(served):
    import mlflow

    server, address = served
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelInferRequest(model_name="grape", model_version="1")
        for name, column in frame(3).items():
            tensor = request.inputs.add(name=name, datatype="FP64", shape=[3])
            tensor.contents.fp64_contents.extend(column)
        request.outputs.add(name="label")
        answer, call = stub.ModelInfer.with_call(request, timeout=30, metadata=[("x-request-id", "by-grpc-1"), ("x-sluice-priority", "batch")])
        head = dict(call.initial_metadata())
        assert np.array_equal(np.frombuffer(answer.raw_output_contents[0], dtype=np.int64), expected(server, 3, "1")[0])
        assert [o.name for o in answer.outputs] == ["label"]
        assert head["x-request-id"] == "by-grpc-1" and head["x-sluice-model-version"] == "1" and head["x-sluice-arm"] == "next"
        assert head["x-sluice-endpoint"] == "grape" and "execute;dur=" in head["server-timing"]

        with pytest.raises(grpc.RpcError) as refused:
            stub.ModelInfer(request, timeout=30, metadata=[("x-sluice-priority", "soon")])
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "X-Sluice-Priority" in refused.value.details()
        assert dict(refused.value.initial_metadata())["x-sluice-error-code"] == "INVALID_PARAMETER_VALUE"

    def logged():
        runs = mlflow.search_runs(experiment_names=["serving/grape"], output_format="list")
        found = [segments(mlflow, run.info.run_id) for run in runs]
        return [r for rows in found if rows is not None for r in rows[rows["client_request_id"] == "by-grpc-1"].to_dict("records")]

    (record,) = wait_until(logged, 60, "the prediction record")
    assert (int(record["model_version"]), int(record["status_code"]), record["content_type"]) == (1, 200, "application/x-protobuf")
    assert service_pb2.ModelInferRequest.FromString(record["request_binary"]) == request


def test_errors_say_what_is_wrong(client):
    for call, code, text in (
        (lambda: client.infer("nobody", tensors(triton, 1)), "NOT_FOUND", "nobody"),
        (lambda: client.infer("grape", tensors(triton, 1), model_version="9"), "NOT_FOUND", "version"),
        (lambda: client.infer("grape", tensors(triton, 1)[1:]), "INVALID_ARGUMENT", "missing inputs"),
        (lambda: client.infer("grape", tensors(triton, 1), outputs=[triton.InferRequestedOutput("loss")]), "INVALID_ARGUMENT", "no output"),
        (lambda: client.infer("grape", tensors(triton, 1), sequence_id=5), "INVALID_ARGUMENT", "no state"),
        (lambda: client.get_model_metadata("nobody"), "NOT_FOUND", "nobody"),
        (lambda: client.get_model_config("grape"), "UNIMPLEMENTED", "unknown method"),
    ):
        with pytest.raises(InferenceServerException, match=text) as error:
            call()
        assert code in error.value.status(), error.value


def test_a_constant_answers_instead(served):
    """A fallback's inference_answer reaches Triton's clients as tensors, by both transports; what it lacks stays an error."""
    import tritonclient.http as triton_http

    server, address = served
    add_version(server, "picky", picky_files())
    constant = {"outputs": [{"name": "score", "datatype": "FP32", "shape": [1, 1], "data": [-1.5]}, {"name": "why", "datatype": "BYTES", "shape": [1], "data": ["none"]}]}
    entity = {"name": "only", "entity_name": "picky", "entity_version": "1"}
    fallback = [{"from": "only", "on": ["error"], "inference_answer": constant}]
    made = server.post("/api/2.0/serving-endpoints", json={"name": "picky", "config": {"served_entities": [entity], "fallback": fallback}})
    assert made.ok and made.json()["config"]["fallback"] == fallback, made.text
    wait_until(lambda: server.get("/v2/models/picky/ready").ok, what="the version")
    for library, where in ((triton, address), (triton_http, server.url.removeprefix("http://"))):
        strong = tensors(library, 1)
        alcohol = library.InferInput(strong[0].name(), [1, 1], "FP64")
        alcohol.set_data_from_numpy(np.array([[14.5]]))
        with library.InferenceServerClient(where) as client:
            got = client.infer("picky", [alcohol, *strong[1:]])
            assert np.array_equal(got.as_numpy("score"), np.array([[-1.5]], np.float32)) and got.as_numpy("why").tolist() == [b"none"]
            one = client.infer("picky", [alcohol, *strong[1:]], outputs=[library.InferRequestedOutput("why")])
            assert one.as_numpy("why").tolist() == [b"none"] and one.as_numpy("score") is None
            with pytest.raises(InferenceServerException):
                client.infer("picky", [alcohol, *strong[1:]], outputs=[library.InferRequestedOutput("nothing")])
    instead = server.post("/endpoints/picky/invocations", data=glass(14.5), headers={"Content-Type": "application/json"})
    assert instead.status_code == 500, "a request of the other protocol has no constant"


def test_stream_and_many_at_once(served, client):
    label, _ = expected(served[0], 2)
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for i in range(20):
        client.async_stream_infer("grape" if i != 7 else "nobody", tensors(triton, 2), request_id=str(i))
    got = [answers.get(timeout=30) for _ in range(20)]
    client.stop_stream()
    for i, (result, error) in enumerate(got):
        if i == 7:
            assert "nobody" in str(error)
        else:
            assert error is None and result.get_response().id == str(i) and np.array_equal(result.as_numpy("label"), label)

    for i in range(50):
        client.async_infer("grape", tensors(triton, 2), lambda result, error: answers.put((result, error)), request_id=str(i))
    got = [answers.get(timeout=30) for _ in range(50)]
    assert all(error is None and np.array_equal(result.as_numpy("label"), label) for result, error in got)
    assert {result.get_response().id for result, _ in got} == {str(i) for i in range(50)}


def test_metrics_count_it(served, client):
    def counted():
        return sum(float(line.rsplit(" ", 1)[1]) for line in served[0].get("/metrics").text.splitlines()
                   if line.startswith("sluice_requests_total{") and 'endpoint="grape"' in line and 'code="200"' in line)

    before = counted()
    for _ in range(3):
        client.infer("grape", tensors(triton, 1))
    assert counted() == before + 3


def test_keys_tls_bounds_and_the_way_out(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert, "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    data = tmp_path / "data"
    made = subprocess.run([BINARY, "keys", "create", "triton", "--permissions", "predict", "--data-dir", data], check=True, capture_output=True, text=True, env=own_environ())
    secret = next(word for word in made.stdout.split() if len(word) > 40)
    server, address = start(data, "--demo", "--tls-cert", str(cert), "--tls-key", str(key), "--max-body-bytes", "8000")
    try:
        trusted = grpc.ssl_channel_credentials(cert.read_bytes())
        with triton.InferenceServerClient(address, creds=trusted) as c:
            mine = {"authorization": f"Bearer {secret}"}
            assert c.is_server_live()  # public
            wait_until(lambda: c.is_model_ready("wine", headers=mine), 60, "the example model")
            assert len(c.infer("wine", tensors(triton, 1), headers=mine).as_numpy("label")) == 1
            for headers in ({}, {"authorization": "Bearer wrong"}):
                with pytest.raises(InferenceServerException) as refused:
                    c.infer("wine", tensors(triton, 1), headers=headers)
                assert "UNAUTHENTICATED" in refused.value.status()
            with pytest.raises(InferenceServerException, match="larger than max") as refused:
                c.infer("wine", tensors(triton, 100), headers=mine)
            assert "RESOURCE_EXHAUSTED" in refused.value.status()

            answered, failed = [], []

            def ask():
                while True:
                    try:
                        answered.append(c.infer("wine", tensors(triton, 1), headers=mine))
                    except InferenceServerException as error:
                        if "UNAVAILABLE" not in error.status():  # nobody is there any more
                            failed.append(str(error))
                        return

            asking = threading.Thread(target=ask)
            asking.start()
            wait_until(lambda: len(answered) > 10, what="answers")
            assert server.stop() == 0
            asking.join()
            assert not failed
    finally:
        server.stop()


def test_the_load_tool_speaks_it(served, tmp_path):
    """`sluice loadtest grpc://…`: closed and open loop, a version, what a refusal is counted as."""
    report = tmp_path / "report.json"

    def load(path, *flags, code=0):
        command = [str(BINARY), "loadtest", f"grpc://{served[1]}{path}", "--duration", "500ms", "--connections", "2", "--json", str(report), *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(report.read_text()) if code == 0 else done.stderr

    closed = load("/v2/models/grape/infer", "--rows", "3")
    assert closed["answered"] > 20 and closed["failed"] == 0 and closed["by_status"] == {"200": closed["answered"]}, closed
    assert closed["latency_ms"]["p99"] > 0 and closed["url"].startswith("grpc://")
    paced = load("/v2/models/grape/versions/2/infer", "--rate", "100", "--arrivals", "poisson")
    assert 10 < paced["answered"] <= 100 and paced["failed"] == 0, paced
    refused = load("/v2/models/grape/infer", "--header", "X-Sluice-Priority: nonsense")
    assert set(refused["by_status"]) == {"400"} and "InvalidArgument" in refused["first_failure"], refused
    assert "grpc:// URL ends in" in load("/", code=1)
    assert "grape2" in load("/v2/models/grape2/infer", code=1)


def test_a_taken_port(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = Server(tmp_path / "data", "--grpc-port", str(taken.getsockname()[1]))
        with pytest.raises(RuntimeError, match="--grpc-port: .*address already in use"):
            server.start()
