"""Point 1: the binary alone, on an empty and on a used store, with and without a key."""

import json
import re
import socket
import ssl
import subprocess

import pytest
import requests
from conftest import BINARY, Server, split_body, wait_until


def test_demo_prints_a_curl_line_that_works(tmp_path):
    s = Server(tmp_path / "data", "--demo").start()
    try:
        s.ready()
        line = wait_until(lambda: next((x for x in s.out if x.strip().startswith("curl ")), None), what="a curl line")
        answer = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=30)
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["predictions"][0]["label"] in (0, 1, 2)
        endpoint = s.get("/api/2.0/serving-endpoints/wine").json()
        assert sorted(r["traffic_percentage"] for r in endpoint["config"]["traffic_config"]["routes"]) == [10, 90]
        versions = {v["version"]: v["current_stage"] for v in s.api("GET", "model-versions/search", {"filter": "name='wine'", "max_results": 10})["model_versions"]}
        assert sorted(versions.values()) == ["Production", "Staging"]
        s.stop()
        s.start().ready()
        assert len(s.api("GET", "registered-models/search", {"max_results": 10})["registered_models"]) == 1
    finally:
        s.stop()


def test_fresh_store_is_empty_without_demo(server):
    assert server.api("GET", "registered-models/search", {"max_results": 10}) == {}
    assert [e["name"] for e in server.api("GET", "experiments/search", {"max_results": 10})["experiments"]] == ["Default"]
    assert server.get("/ready").status_code == 200
    answer = server.post("/invocations", json=split_body())
    assert answer.status_code in (400, 404) and answer.json()["error_code"]


def test_without_onnx_runtime_everything_else_works(tmp_path):
    s = Server(tmp_path / "data", "--cache-dir", str(tmp_path / "empty")).start()
    try:
        assert any("sluice setup" in line for line in s.out)
        assert s.api("POST", "experiments/create", {"name": "e"})["experiment_id"]
        assert "setup" in s.get("/").text
    finally:
        s.stop()


def run(*args, env=None):
    return subprocess.run([str(BINARY), *args], capture_output=True, text=True, timeout=60, env=env)


def test_commands_explain_themselves():
    help_text = run("--help").stdout
    for word in ("serve", "setup", "doctor", "keys", "version"):
        assert word in help_text
    for flag in ("--host", "--port", "--backend-store-uri", "--artifacts-destination", "--default-artifact-root"):
        assert flag in run("serve", "--help").stdout
    assert re.match(r"sluice \S+", run("version").stdout)


def test_doctor_says_what_is_missing_and_how_to_get_it(tmp_path):
    sick = run("doctor", "--cache-dir", str(tmp_path / "none"), "--data-dir", str(tmp_path / "d"))
    assert sick.returncode != 0 and "sluice setup" in sick.stdout
    well = run("doctor", "--data-dir", str(tmp_path / "d"))
    assert well.returncode == 0, well.stdout + well.stderr


def test_unknown_settings_are_refused(tmp_path):
    bad = run("serve", "--data-dir", str(tmp_path), env={"SLUICE_PROT": "1", "HOME": "/tmp"})
    assert bad.returncode == 1 and "SLUICE_PROT" in bad.stderr


def test_a_public_address_needs_a_key(tmp_path):
    refused = run("serve", "--data-dir", str(tmp_path / "d"), "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 1
    assert "sluice keys create" in refused.stderr and "--insecure-no-auth" in refused.stderr


def test_keys(tmp_path, monkeypatch):
    import mlflow

    s = Server(tmp_path / "data").start()
    try:
        assert requests.get(s.url + "/api/2.0/mlflow/experiments/get?experiment_id=0", auth=("any", "thing"), timeout=10).ok
        made = run("keys", "create", "ci", "--data-dir", str(s.data_dir))
        assert made.returncode == 0, made.stderr
        key = made.stdout.strip().splitlines()[-1].split()[-1]
        path = s.url + "/api/2.0/mlflow/experiments/get?experiment_id=0"
        wait_until(lambda: requests.get(path, timeout=10).status_code == 401, what="credentials are asked for")
        refused = requests.get(path, auth=("any", "wrong"), timeout=10)
        assert refused.status_code == 401 and refused.json()["error_code"] == "UNAUTHENTICATED"
        assert requests.post(s.url + "/invocations", json=split_body(), timeout=10).status_code == 401
        assert requests.get(path, auth=("any", key), timeout=10).ok
        assert requests.get(path, headers={"Authorization": f"Bearer {key}"}, timeout=10).ok
        assert requests.get(s.url + "/health", timeout=10).ok
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", key)
        mlflow.set_tracking_uri(s.url)
        assert mlflow.MlflowClient().get_experiment("0").name == "Default"
        assert "ci" in run("keys", "list", "--data-dir", str(s.data_dir)).stdout
    finally:
        mlflow.set_tracking_uri(None)
        s.stop()


def test_tls(tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    s = Server(tmp_path / "data", "--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")).start()
    try:
        assert s.url.startswith("https://")
        assert requests.get(s.url + "/version", verify=str(tmp_path / "cert.pem"), timeout=10).ok
        host, port = s.url.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            weak = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            weak.check_hostname, weak.verify_mode = False, ssl.CERT_NONE
            weak.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError, ValueError)):
                weak.wrap_socket(raw)
    finally:
        s.stop()
