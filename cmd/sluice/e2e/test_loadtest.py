"""`sluice loadtest` against a real server: closed and open loop, comparison, capacity, requests taken from the prediction log."""

import json
import subprocess

from conftest import BINARY, Server, wait_until


def loadtest(*args):
    done = subprocess.run([str(BINARY), "loadtest", *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_load_tool(tmp_path):
    s = Server(tmp_path / "data", "--demo", "--serving-metrics-interval", "500ms").start().ready()
    try:
        url = s.url + "/endpoints/wine/invocations"
        report, page = tmp_path / "report.json", tmp_path / "report.html"
        text = loadtest(url, "--duration", "1s", "--connections", "4", "--json", str(report), "--html", str(page))
        assert "p99" in text and "answers/s" in text
        closed = json.loads(report.read_text())
        assert closed["answered"] > 100 and closed["failed"] == 0 and closed["by_status"] == {"200": closed["answered"]}
        assert "<polyline" in page.read_text()
        loadtest(url, "--duration", "1s", "--rate", "200", "--arrivals", "poisson", "--json", str(report))
        paced = json.loads(report.read_text())
        assert 120 < paced["answered"] < 280 and paced["failed"] == 0
        compared = loadtest("compare", url, url, "--duration", "200ms", "--rounds", "3", "--connections", "2")
        assert "rate" in compared and "p=" in compared
        assert "capacity:" in loadtest("capacity", url, "--duration", "200ms", "--p99", "1ms", "--start", "50", "--connections", "1")

        # what was just served is in the prediction log; a segment of it is a load test of its own
        def segment():
            runs = s.api("POST", "runs/search", {"experiment_ids": [serving_experiment(s)], "max_results": 10})["runs"]
            for run in runs:
                root = s.api("GET", "artifacts/list", {"run_id": run["info"]["run_id"], "path": "predictions"})
                for day in root.get("files", []):
                    for f in s.api("GET", "artifacts/list", {"run_id": run["info"]["run_id"], "path": day["path"]}).get("files", []):
                        return run["info"]["run_id"], f["path"]
            return None

        run_id, path = wait_until(segment, what="a segment in tracking")
        local = tmp_path / "segment.parquet"
        local.write_bytes(s.get("/get-artifact", params={"run_id": run_id, "path": path}).content)
        assert "answers/s" in loadtest(url, "--duration", "500ms", "--from-log", str(local), "--json", str(report))
        assert json.loads(report.read_text())["failed"] == 0
    finally:
        s.stop()


def serving_experiment(s):
    return s.api("GET", "experiments/get-by-name", {"experiment_name": "serving/wine"})["experiment"]["experiment_id"]
