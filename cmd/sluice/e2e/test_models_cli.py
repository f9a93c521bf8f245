"""`sluice models serve | predict | build-docker`, beside the answers of `mlflow models serve`."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading

import pandas as pd
import pytest
import requests

from conftest import BINARY, own_environ, register_wine, wait_until, wine_rows

PYTHON = sys.executable
BODIES = [
    ("application/json", {"dataframe_split": wine_rows(3)}),
    ("application/json", {"inputs": [[1.0] * 13]}),
    ("application/json", {"dataframe_records": [{"alcohol": 1.0}]}),
    ("application/json", {"nonsense": 1}),
    ("text/csv", None),
]


def body_of(content_type, body):
    rows = wine_rows(2)
    return json.dumps(body) if body is not None else pd.DataFrame(rows["data"], columns=rows["columns"]).to_csv(index=False)


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    """A scikit-learn model in a folder."""
    import mlflow.sklearn
    from sklearn.datasets import load_wine
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_wine(return_X_y=True, as_frame=True)
    at = tmp_path_factory.mktemp("models") / "forest"
    model = RandomForestClassifier(n_estimators=5, random_state=0).fit(x, y)
    mlflow.sklearn.save_model(model, str(at), signature=mlflow.models.infer_signature(x, model.predict(x)), serialization_format="cloudpickle")
    return at


@contextlib.contextmanager
def sluice_serves(uri, *args, env=None, out=None):
    command = [str(BINARY), "models", "serve", "-m", str(uri), "-p", "0", "-h", "127.0.0.1", *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=own_environ() | (env or {}))
    out = [] if out is None else out  # what it prints
    threading.Thread(target=lambda: out.extend(iter(process.stdout.readline, "")), daemon=True).start()
    try:
        def listening():
            found = re.search(r"listening on (http://\S+)", "".join(out))
            if not found and process.poll() is not None:
                raise RuntimeError("".join(out))
            return found

        yield wait_until(listening, 240, "the scoring server").group(1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@contextlib.contextmanager
def mlflow_serves(path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [PYTHON, "-m", "mlflow", "models", "serve", "-m", str(path), "-p", str(port), "--env-manager", "local", "-w", "1"]
    env = own_environ() | {"PATH": f"{pathlib.Path(PYTHON).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: requests.get(url + "/ping", timeout=5).ok, 120, "mlflow models serve")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def answers(url):
    out = []
    for kind, body in BODIES:
        a = requests.post(url + "/invocations", data=body_of(kind, body), headers={"Content-Type": kind}, timeout=60)
        out.append((a.status_code, a.json() if a.status_code == 200 else a.json().get("error_code")))
    return out


def test_a_scikit_learn_model_answers_as_mlflow_does(forest, tmp_path):
    """By Python, converted to ONNX, and by the conversion that was kept."""
    import onnxruntime

    (library,) = (pathlib.Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*")
    args = ["--env-manager", "local", "--python", PYTHON, "-w", "1", "--cache-dir", str(tmp_path), "--ort-lib", str(library)]
    with mlflow_serves(forest) as theirs:
        expected = answers(theirs)
        paths = {path: said(theirs + path) for path in ("/ping", "/health", "/version")}
    for conversion, by in [("off", "served_by=python"), ("auto", "onnx (converted)"), ("auto", "onnx (converted)")]:
        before = kept(tmp_path)
        with sluice_serves(forest, *args, "--conversion", conversion, out=(out := [])) as ours:
            assert answers(ours) == expected, conversion
            assert {path: said(ours + path) for path in paths} == paths
            assert requests.get(ours + "/api/2.0/mlflow/experiments/search", timeout=10).status_code == 404
        assert by in "".join(out), out
        assert before in ({}, kept(tmp_path)), "it was converted anew"
    assert len(kept(tmp_path)) == 1


def said(url):
    answer = requests.get(url, timeout=10)
    return answer.status_code, answer.text


def kept(cache):
    """The conversions in a cache directory, with what tells one from another at the same place."""
    return {p.parent.name: p.stat().st_ino for p in cache.glob("converted/*/model.onnx")}


def test_models_of_a_tracking_server(server, mlflow_at):
    client = mlflow_at(server)
    info = register_wine(client, "wine")
    client.transition_model_version_stage("wine", "1", "Production")
    client.set_registered_model_alias("wine", "champion", "1")
    env = {"MLFLOW_TRACKING_URI": server.url}
    body = json.dumps({"dataframe_split": wine_rows(2)})

    def asked():
        answer = server.post("/endpoints/wine/invocations", data=body, headers={"Content-Type": "application/json"})
        return answer.ok and answer.json()

    expected = wait_until(asked, 60, "the endpoint")
    with sluice_serves("models:/wine/Production", env=env) as url:
        assert requests.post(url + "/invocations", data=body, headers={"Content-Type": "application/json"}, timeout=60).json() == expected
    for uri in ("models:/wine/1", "models:/wine@champion", "models:/wine/latest", f"models:/{info.model_id}", f"runs:/{info.run_id}/model"):
        assert json.loads(predict(uri, body, env=env).stdout) == expected, uri
    wrong = predict("models:/wine/2", body, env=env)
    assert wrong.returncode == 1 and "not found" in wrong.stderr, wrong.stderr
    malformed = predict("models:/wine", body, env=env)
    assert malformed.returncode == 1 and "models:/NAME/STAGE" in malformed.stderr, malformed.stderr
    server.stop()
    local = predict("models:/wine@champion", body, "--data-dir", str(server.data_dir), env={})
    assert json.loads(local.stdout) == expected, local.stderr


def predict(uri, body, *args, env=None):
    command = [str(BINARY), "models", "predict", "-m", str(uri), *args]
    return subprocess.run(command, input=body, capture_output=True, text=True, env=own_environ() | (env or {}), timeout=180)


def test_predict_files(forest, tmp_path):
    rows = wine_rows(2)
    (tmp_path / "in.csv").write_text(pd.DataFrame(rows["data"], columns=rows["columns"]).to_csv(index=False))
    done = predict(forest, None, "--env-manager", "local", "--python", PYTHON, "-i", str(tmp_path / "in.csv"), "-t", "csv", "-o", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out.json").read_text()) == {"predictions": [0, 0]}


@pytest.mark.parametrize("args, why", [
    (["--env-manager", "virtualenv"], "uv makes the same environment"),
    (["--env-manager", "conda"], "uv makes the same environment"),
    (["-m", "s3://bucket/model"], "MLFLOW_TRACKING_URI"),
    (["--install-mlflow"], "unknown flag"),
    (["-t", "xml"], "must be one of"),
])
def test_what_cannot_be_honoured_is_refused(args, why, tmp_path):
    done = predict(tmp_path, "{}", *args, "--data-dir", str(tmp_path / "none"))
    assert done.returncode == 1 and why in done.stderr, done.stderr


def test_other_addresses_need_consent(forest):
    command = [str(BINARY), "models", "serve", "-m", str(forest), "-h", "0.0.0.0", "--env-manager", "local", "--python", PYTHON]
    done = subprocess.run(command, capture_output=True, text=True, env=own_environ(), timeout=60)
    assert done.returncode == 1 and "--insecure-no-auth" in done.stderr, done.stderr


def build_docker(uri, out):
    command = [str(BINARY), "models", "build-docker", "-m", str(uri), "-d", str(out), "-n", "wine"]
    done = subprocess.run(command, capture_output=True, text=True, env=own_environ(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"docker build -t wine {out}" in done.stdout
    return (out / "Dockerfile").read_text()


def test_the_docker_context_holds_all_that_its_steps_need(forest, tmp_path):
    text = build_docker(forest, tmp_path / "python")
    version = ".".join(map(str, sys.version_info[:2]))
    assert text.startswith(f"FROM python:{version}-slim\n") and "prepare-env -m /opt/ml/model" in text
    files = {str(p.relative_to(forest)) for p in forest.rglob("*") if p.is_file()}
    copied = tmp_path / "python" / "model"
    assert {str(p.relative_to(copied)) for p in copied.rglob("*") if p.is_file()} == files

    wine = pathlib.Path(__file__).resolve().parents[3] / "deploy" / "examples" / "wine" / "v2"
    text = build_docker(wine, tmp_path / "onnx")
    library = re.search(r"ENV ORT_LIB=/opt/sluice/lib/(\S+)", text).group(1)
    # Without Docker: the entry point's own command, with the image's paths put where the context has them.
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M).group(1))
    command = [str(tmp_path / "onnx" / "sluice")] + [a.replace("/opt/ml/model", str(tmp_path / "onnx" / "model")) for a in entry[1:]]
    command[command.index("8080")] = "0"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PATH": os.environ["PATH"], "HOME": "/tmp", "ORT_LIB": str(tmp_path / "onnx" / "lib" / library)})
    try:
        port = re.search(r"listening on http://\S*:(\d+)", process.stdout.readline()).group(1)
        answer = requests.post(f"http://127.0.0.1:{port}/invocations", json={"dataframe_split": wine_rows(1)}, timeout=60)
        assert answer.status_code == 200, answer.text
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
