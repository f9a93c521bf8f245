"""`sluice loadtest` against a real server: closed and open loop, comparison, capacity, requests taken from the prediction log."""

import json
import subprocess

from browser import chromium  # noqa: F401  a fixture
from conftest import BINARY, EXAMPLES, Server, wait_until


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
        doc = tmp_path / "compared.json"
        compared = loadtest("compare", url, url, "--duration", "200ms", "--rounds", "3", "--connections", "2", "--name-b", "again", "--json", str(doc))
        assert "rate" in compared and "p=" in compared and "again against A" in compared
        assert len(json.loads(doc.read_text())["b"]) == 3
        # a server that tells nothing of its model, as `mlflow models serve`, gets the other one's requests
        assert "p=" in loadtest("compare", url, s.url + "/invocations", "--duration", "200ms", "--rounds", "2", "--connections", "2")
        found = loadtest("capacity", url, "--duration", "200ms", "--p99", "1ms", "--start", "50", "--connections", "1", "--json", str(doc))
        assert "capacity:" in found and json.loads(doc.read_text())["probes"]

        # rows made from a signature in a file, and the Open Inference Protocol in text and bytes
        mlmodel = str(EXAMPLES / "v2" / "MLmodel")
        for at, *flags in [
            (url, "--rows", "7"),
            (s.url + "/invocations", "--signature", mlmodel, "--rows", "3"),
            (s.url + "/v2/models/wine/infer", "--rows", "5"),
            (s.url + "/v2/models/wine/infer", "--rows", "5", "--binary"),
        ]:
            loadtest(at, "--duration", "300ms", "--connections", "2", "--json", str(report), *flags)
            done = json.loads(report.read_text())
            assert done["answered"] > 0 and done["failed"] == 0, (at, flags, done["first_failure"])

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


def test_report_in_a_browser(tmp_path, chromium):  # noqa: F811
    """The page shows its figures and three plots, within the window, without a word from the console and without the network."""
    s = Server(tmp_path / "data", "--demo").start().ready()
    try:
        page = tmp_path / "report.html"
        url = s.url + "/endpoints/wine/invocations"
        sine = ["--rate", "300", "--arrivals", "sine", "--amplitude", "250", "--period", "3s"]
        loadtest(url, "--duration", "3s", *sine, "--connections", "8", "--html", str(page))
    finally:
        s.stop()
    for width, scheme in [(1280, "light"), (420, "dark")]:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        tab = context.new_page()
        troubles = []
        tab.on("console", lambda m: troubles.append(m.text))
        tab.on("pageerror", lambda e: troubles.append(str(e)))
        tab.goto(page.as_uri())
        assert tab.get_by_role("img").count() == 3
        for text in ("Throughput", "Latency over time", "Latency by percentile", "p99.9", "open loop, sine around 300/s"):
            assert tab.get_by_text(text).first.is_visible(), text
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), width
        boxes = tab.evaluate("[...document.querySelectorAll('polyline')].map(l => { const b = l.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height] })")
        assert len(boxes) == 5 and all(x >= -2 and y >= -2 and right <= 722 and bottom <= 222 for x, y, right, bottom in boxes), boxes
        tab.screenshot(path=str(tmp_path / f"report-{width}.png"), full_page=True)
        assert troubles == []
        context.close()


def serving_experiment(s):
    return s.api("GET", "experiments/get-by-name", {"experiment_name": "serving/wine"})["experiment"]["experiment_id"]
