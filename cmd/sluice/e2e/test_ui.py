"""MLflow's own web UI at / in a real browser: experiments, a run, registered models, a version; no error in the console."""

import pytest
from conftest import register_wine

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.troubles = []
        page.on("pageerror", lambda e: page.troubles.append(f"page error: {e}"))
        page.on("console", lambda m: page.troubles.append(m.text) if "Content Security Policy" in m.text else None)
        page.on("response", lambda r: page.troubles.append(f"{r.status} {r.url}") if r.status >= 500 and r.status != 501 else None)
        yield page
        browser.close()


def test_ui_shows_what_the_client_logged(server, mlflow_at, page, tmp_path):
    import mlflow

    client = mlflow_at(server)
    mlflow.set_experiment("cellar-experiment")
    with mlflow.start_run(run_name="noble-run") as run:
        mlflow.log_param("grape", "riesling")
        for step in range(5):
            mlflow.log_metric("sweetness", step * 1.5, step=step)
    register_wine(mlflow, "wine-ui")
    client.transition_model_version_stage("wine-ui", "1", "Production")
    eid = run.info.experiment_id

    def see(path, *texts):
        page.goto(server.url + path, wait_until="domcontentloaded")
        for text in texts:
            page.locator(f"text={text} >> visible=true").first.wait_for(timeout=30_000)

    see("/#/experiments", "cellar-experiment")
    see(f"/#/experiments/{eid}/runs", "noble-run")
    see(f"/#/experiments/{eid}/runs/{run.info.run_id}", "noble-run", "riesling", "sweetness")
    see(f"/#/experiments/{eid}/runs/{run.info.run_id}/model-metrics", "sweetness")
    page.locator(".js-plotly-plot svg.main-svg").first.wait_for(timeout=30_000)
    see(f"/#/experiments/{eid}/runs?compareRunsMode=CHART", "sweetness")
    see("/#/models", "wine-ui")
    see("/#/models/wine-ui", "wine-ui", "Version 1")
    see("/#/models/wine-ui/versions/1", "Version 1")
    page.screenshot(path=str(tmp_path / "version.png"))
    assert page.troubles == []


HTML = """<!doctype html><body><p id=p>inert</p><script>
document.getElementById("p").textContent = "scripts run";
function tell(text) { var p = document.createElement("p"); p.textContent = text; document.body.appendChild(p); }
try { localStorage.length; tell("storage reached"); } catch (e) { tell("storage out of reach"); }
try { parent.document.body; tell("page reached"); } catch (e) { tell("page out of reach"); }
fetch(%r).then(function () { tell("api reached"); }, function () { tell("api out of reach"); });
</script></body>"""


def test_an_html_artifact_runs_in_a_cage(server, mlflow_at, page):
    """S22: what an artifact's scripts draw is seen, and they reach neither the page nor the API."""
    import mlflow

    mlflow_at(server)
    mlflow.set_experiment("cages")
    with mlflow.start_run() as run:
        mlflow.log_text(HTML % (server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0"), "plot.html")
        mlflow.log_text('{"a": [1, 2]}', "config.json")
        mlflow.log_text("# title\n<img src=x onerror=alert(1)>", "note.md")
    page.goto(f"{server.url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/plot.html", wait_until="domcontentloaded")
    cage = page.frame_locator("iframe.mlflow-html-iframe")
    for text in ("scripts run", "storage out of reach", "page out of reach", "api out of reach"):
        cage.locator(f"text={text}").wait_for(timeout=30_000)
    expected = [t for t in page.troubles if "experiments/get" in t]  # the artifact's own attempt
    assert expected and page.troubles == expected
    for name in ("config.json", "note.md"):
        page.goto(f"{server.url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/{name}", wait_until="domcontentloaded")
        page.locator(f"text={name} >> visible=true").first.wait_for(timeout=30_000)
    assert page.troubles == expected
