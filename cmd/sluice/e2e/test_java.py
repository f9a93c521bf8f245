"""MLflow's Java client (java/pom.xml has its version) against the built binary, and the habits of clients in other languages."""

import os
import pathlib
import subprocess
import sys

import requests
from conftest import own_environ

JAVA = pathlib.Path(__file__).parent / "java"


def run(*command):
    """Runs a program with this Python first in its path, for the Java client asks MLflow's command line to move artifacts."""
    environ = own_environ() | {"PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environ)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_java_client(shared_server, tmp_path):
    jars = tmp_path / "classpath"
    run("mvn", "-q", "-B", "-o", "-f", str(JAVA / "pom.xml"), "dependency:build-classpath", f"-Dmdep.outputFile={jars}")  # `make java` fetches
    out = run("java", "-cp", jars.read_text(), str(JAVA / "Cellar.java"), shared_server.url, str(tmp_path))
    run_id = out.split()[-1]
    # Seen through REST: what Java wrote is there for everybody.
    got = shared_server.api("GET", "runs/get", {"run_id": run_id})["run"]
    assert {p["key"]: p["value"] for p in got["data"]["params"]} == {"barrel": "oak é", "vintage": "1999"}
    assert got["info"]["status"] == "FINISHED" and got["info"]["end_time"] == 1_800_000_000_000
    assert shared_server.get(f"/get-artifact?run_id={run_id}&path=notes/note.txt").text == "tannins"
    version = shared_server.api("GET", "model-versions/get", {"name": "java wine", "version": "1"})["model_version"]
    assert (version["current_stage"], version["run_id"]) == ("Production", run_id)


def test_habits_of_protobuf_clients(shared_server):
    """camelCase names of what is not required (as MLflow, which looks for the others by their own), 64-bit integers and enums as strings, absent
    optional fields: all that protobuf's JSON allows."""
    made = shared_server.api("POST", "runs/create", {"experimentId": "0", "startTime": "1700000000000"})["run"]["info"]
    assert made["start_time"] == 1_700_000_000_000
    run_id = made["run_id"]
    for body in (
        {"run_id": run_id, "key": "m", "value": "0.5", "timestamp": "1700000000001", "step": "9007199254740993"},
        {"run_id": run_id, "key": "m", "value": 1, "timestamp": 1.7e12},  # a float that is an integer, no step
        {"run_uuid": run_id, "key": "m", "value": "NaN", "timestamp": 1},
    ):
        shared_server.api("POST", "runs/log-metric", body)
    history = shared_server.api("GET", "metrics/get-history", {"run_id": run_id, "metric_key": "m", "maxResults": "100"})["metrics"]
    assert {(m["value"], m["timestamp"], m.get("step")) for m in history} == {(0.5, 1_700_000_000_001, 2**53 + 1), (1.0, 1_700_000_000_000, 0), ("NaN", 1, 0)}
    for status, want in (("3", "FINISHED"), (4, "FAILED"), ("KILLED", "KILLED")):
        assert shared_server.api("POST", "runs/update", {"run_id": run_id, "status": status, "endTime": "1700000000009"})["run_info"]["status"] == want
    body = {"experimentIds": ["0"], "maxResults": "1", "runViewType": "ACTIVE_ONLY", "orderBy": ["attributes.start_time DESC"], "unknownField": {"a": 1}}
    assert [r["info"]["run_id"] for r in shared_server.api("POST", "runs/search", body)["runs"]] == [run_id]
    for headers, want in (({"Content-Type": "application/json; charset=UTF-8"}, 200), ({}, 400)):  # MLflow, too, wants the header
        body = '{"run_id":"%s","key":"p","value":"v"}' % run_id
        answer = requests.post(shared_server.url + "/api/2.0/mlflow/runs/log-parameter", timeout=30, headers=headers, data=body)
        assert answer.status_code == want, answer.text
