"""Triton's own client speaks the Open Inference Protocol with us: JSON and binary tensors, versions, metadata, health, errors."""

import numpy as np
import pytest
import tritonclient.http as triton
from conftest import wine_rows
from grape import expected, frame, serve, tensors
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def endpoint(shared_server):
    serve(shared_server, "inference-protocol")
    return shared_server


@pytest.fixture
def client(endpoint):
    with triton.InferenceServerClient(endpoint.url.removeprefix("http://")) as c:
        yield c


def test_health_and_metadata(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata()["name"] == "sluice"
    assert client.is_model_ready("grape") and client.is_model_ready("grape", "1")
    assert not client.is_model_ready("grape", "9") and not client.is_model_ready("nobody")
    about = client.get_model_metadata("grape")
    assert sorted(about["versions"]) == ["1", "2"]
    assert [i["name"] for i in about["inputs"]] == wine_rows(1)["columns"]
    assert {(i["datatype"], tuple(i["shape"])) for i in about["inputs"]} == {("FP64", (-1, 1))}
    outputs = {o["name"]: (o["datatype"], o["shape"]) for o in about["outputs"]}
    assert outputs == {"label": ("INT64", [-1]), "probabilities": ("FP32", [-1, 3])}


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("n", [1, 5])
def test_infer(endpoint, client, binary, wide, n):
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "probabilities")]
    got = client.infer("grape", tensors(triton, n, wide, binary_data=binary), outputs=outputs, request_id="mine-7")
    label, probabilities = expected(endpoint, n)
    assert np.array_equal(got.as_numpy("label"), label)
    assert np.array_equal(got.as_numpy("probabilities"), probabilities)
    answer = got.get_response()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("grape", "2", "mine-7")


def test_versions_outputs_and_compression(endpoint, client):
    got = client.infer("grape", tensors(triton, 3, binary_data=True), model_version="1")  # all outputs, as bytes
    label, probabilities = expected(endpoint, 3, "1")
    assert got.get_response()["model_version"] == "1"
    assert np.array_equal(got.as_numpy("probabilities"), probabilities) and np.array_equal(got.as_numpy("label"), label)
    got = client.infer("grape", tensors(triton, 3, binary_data=True), outputs=[triton.InferRequestedOutput("label")], request_compression_algorithm="gzip")
    assert [o["name"] for o in got.get_response()["outputs"]] == ["label"]


def test_errors_say_what_is_wrong(client):
    for call, text in (
        (lambda: client.infer("nobody", tensors(triton, 1, binary_data=True)), "nobody"),
        (lambda: client.infer("grape", tensors(triton, 1, binary_data=True), model_version="9"), "version"),
        (lambda: client.infer("grape", tensors(triton, 1, binary_data=True)[1:]), "missing inputs"),
        (lambda: client.infer("grape", tensors(triton, 1, binary_data=True), outputs=[triton.InferRequestedOutput("loss")]), "no output"),
        (lambda: client.get_model_metadata("nobody"), "nobody"),
    ):
        with pytest.raises(InferenceServerException, match=text):
            call()


def test_by_hand(endpoint):
    body = {"inputs": [{"name": k, "shape": [2], "datatype": "FP64", "data": v.tolist()} for k, v in frame(2).items()]}
    answer = endpoint.post("/v2/models/grape/infer", json=body)
    assert answer.status_code == 200 and answer.headers["X-Sluice-Model-Version"] == "2" and answer.headers["Content-Type"] == "application/json"
    outputs = {o["name"]: o for o in answer.json()["outputs"]}
    label, probabilities = expected(endpoint, 2)
    assert outputs["label"]["data"] == label.tolist() and outputs["probabilities"]["shape"] == [2, 3]
    assert np.array_equal(np.array(outputs["probabilities"]["data"], dtype=np.float32).reshape(2, 3), probabilities)
    for content, status in ((b"{", 400), (b"", 400), (b'{"inputs":[]}', 400)):
        wrong = endpoint.post("/v2/models/grape/infer", data=content, headers={"Content-Type": "application/json"})
        assert wrong.status_code == status and wrong.json()["error"] == wrong.json()["message"] and wrong.json()["error_code"], wrong.text
    late = endpoint.post("/v2/models/grape/infer", json=body, headers={"Inference-Header-Content-Length": "99999"})
    assert late.status_code == 400 and "Inference-Header-Content-Length" in late.json()["error"]
