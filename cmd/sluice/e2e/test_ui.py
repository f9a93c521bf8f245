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
    see("/#/models", "wine-ui")
    see("/#/models/wine-ui", "wine-ui", "Version 1")
    see("/#/models/wine-ui/versions/1", "Version 1")
    page.screenshot(path=str(tmp_path / "version.png"))
    assert page.troubles == []
