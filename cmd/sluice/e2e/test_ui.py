"""MLflow's own web UI at / in a real browser: every page shows what the client logged, the console stays clean, no request fails."""

import json
import types
from urllib.parse import quote

import pytest
from browser import chromium, visit  # noqa: F401  (fixtures)
from conftest import real_client, register_wine, wait_until


@pytest.fixture(scope="module")
def cellar(shared_server):
    """A server with an experiment `cellar`: two runs with metrics, a dataset and artifacts, one with a model `riesling` that is
    registered; and a prompt `greet`."""
    with real_client() as point:
        yield fill(shared_server, point(shared_server))


def fill(server, client):
    import mlflow
    import pandas as pd
    from PIL import Image

    eid = mlflow.set_experiment("cellar").experiment_id
    harvest = mlflow.data.from_pandas(pd.DataFrame({"grape": ["riesling", "merlot"], "acid": [3.1, 2.2]}), name="harvest")
    runs = []
    for name, grape, sweet in (("noble-run", "riesling", 1.5), ("table-run", "merlot", 0.5)):
        with mlflow.start_run(run_name=name, tags={"barrel": "oak"}, description="a *described* run") as run:
            mlflow.log_param("grape", grape)
            for step in range(5):
                mlflow.log_metric("sweetness", step * sweet, step=step)
            mlflow.log_metric("acidity", sweet)
            mlflow.log_input(harvest, context="training")
            mlflow.log_text("a note on tannins", "notes/note.txt")
            mlflow.log_dict({"vintage": 1999}, "config.json")
            mlflow.log_text("bottle,price\nmagnum,31.25\n", "table.csv")
            mlflow.log_table({"question": ["red or white"], "answer": ["rather rosé"]}, "answers.json")
            mlflow.log_image(Image.new("RGB", (64, 48), (120, 0, 40)), "label.png")
        runs.append(run.info.run_id)
    info = register_wine(mlflow, "riesling")
    client.set_registered_model_tag("riesling", "region", "mosel")
    mlflow.genai.register_prompt(name="greet", template="Hello {{name}}!", commit_message="the first words", tags={"lang": "en"})
    mlflow.genai.register_prompt(name="greet", template="Good day {{name}}!", commit_message="the second words")
    return types.SimpleNamespace(server=server, client=client, eid=eid, runs=runs, model_id=info.model_id, model_run=info.run_id)


def test_home_experiments_and_settings(cellar, visit):  # noqa: F811
    v = visit(cellar.server)
    v.open("/", "Welcome to MLflow", "cellar")
    v.open("/experiments", "cellar", "Default")
    v.tab.get_by_placeholder("Search experiments").fill("cell")
    v.tab.keyboard.press("Enter")
    v.tab.get_by_role("link", name="Default", exact=True).wait_for(state="detached")
    v.sees("cellar")
    v.open("/settings", "Theme preference", "Enable telemetry")
    v.open("/settings/webhooks", "Create webhook")
    v.open("/settings/llm-connections", "LLM Connections")
    v.open("/mcp-registry", "MCP registry")


def test_tabs_of_an_empty_experiment(cellar, visit):  # noqa: F811
    """The pages of what an experiment does not have yet, and of what this server leaves out."""
    empty = f"/experiments/{cellar.client.create_experiment('empty-cellar')}"
    v = visit(cellar.server)
    with v.tab.expect_response("https://mlflow.org/**"):  # a film of MLflow's
        v.open(empty + "/traces", "Traces")
    for tab, text in (("overview/usage", "Overview"), ("chat-sessions", "Sessions"), ("datasets", "Datasets"), ("judges", "Judges"), ("evaluation-runs", "Evaluation runs"), ("playground", "Playground")):
        v.open(f"{empty}/{tab}", text)
    assert v.troubles == []
    with v.tab.expect_response("**/review-queues/get-or-create-user"):  # a queue that nobody asked for, which the page does without
        v.open(empty + "/review-queue", "Review")
    wait_until(lambda: v.tab.wait_for_timeout(20) or len(v.troubles) > 1, what="the answer and the console's line about it")
    assert all("review-queues/get-or-create-user" in t and "501" in t for t in v.troubles), v.troubles
    v.troubles.clear()


def test_run_table(cellar, visit):  # noqa: F811
    v = visit(cellar.server)
    v.open(f"/experiments/{cellar.eid}/runs", "noble-run", "table-run", "harvest", "3 matching runs")
    search = v.tab.get_by_placeholder("metrics.rmse < 1")
    search.fill('params.grape = "merlot" and metrics.sweetness > 1')
    search.press("Enter")
    v.sees("1 matching run", "table-run")
    assert v.tab.get_by_role("link", name="noble-run").count() == 0

    v.tab.get_by_text("harvest").filter(visible=True).first.click()
    v.sees("Data details for", "num rows: 2", "acid", "double")


def test_charts_of_many_runs(cellar, visit):  # noqa: F811
    v = visit(cellar.server)
    v.open(f"/experiments/{cellar.eid}/runs?compareRunsMode=CHART", "noble-run", "sweetness", "acidity")
    cards = v.tab.get_by_test_id("experiment-view-compare-runs-card").filter(has=v.tab.locator(".js-plotly-plot"))
    lines = cards.filter(has_text="sweetness")
    wait_until(lambda: lines.locator(".scatterlayer .point").count() == 10, what="five points of two runs")
    wait_until(lambda: cards.filter(has_text="acidity").locator(".barlayer .point").count() == 2, what="the bars of two runs")


def test_one_run(cellar, visit):  # noqa: F811
    v = visit(cellar.server)
    run = f"/experiments/{cellar.eid}/runs/{cellar.runs[0]}"
    v.open(run, "noble-run", cellar.runs[0], "described", "Finished", "sweetness", "grape", "riesling", "barrel", "harvest")
    v.open(run + "/model-metrics", "sweetness", "acidity")
    card = v.tab.get_by_test_id("experiment-view-compare-runs-card").filter(has_text="sweetness").filter(has=v.tab.locator(".js-plotly-plot"))
    v.appears(card.locator(".scatterlayer .trace path.js-line"), "the line of sweetness")
    assert card.locator(".ytick text").all_text_contents() == ["0", "2", "4", "6"]
    v.appears(v.tab.locator(".js-plotly-plot .barlayer .point"), "the bar of acidity")
    v.open(run + "/system-metrics", "System metrics")
    v.open(run + "/traces", "Traces")


def test_compare_two_runs(cellar, visit):  # noqa: F811
    v = visit(cellar.server)
    v.open(f"/compare-runs?runs={quote(json.dumps(cellar.runs))}&experiments={quote(json.dumps([cellar.eid]))}")
    v.sees("Comparing 2 Runs from 1 Experiment", "noble-run", "table-run", "merlot", "sweetness")
    v.tab.get_by_role("tab", name="Box Plot").click()  # the tabs before it need WebGL
    for axis, name in enumerate(("grape", "sweetness")):
        v.appears(v.tab.get_by_role("tabpanel").get_by_role("combobox").filter(visible=True), "the axes")
        v.tab.get_by_role("tabpanel").get_by_role("combobox").filter(visible=True).nth(axis).click()
        v.tab.get_by_role("option", name=name).filter(visible=True).click()
    wait_until(lambda: v.tab.locator(".js-plotly-plot .boxlayer .point").count() == 2, what="the box of each run")
    assert {"riesling", "merlot", "grape", "sweetness"} <= set(v.tab.locator(".js-plotly-plot text").all_text_contents())


def test_artifacts(cellar, visit):  # noqa: F811
    v = visit(cellar.server)

    def click(name, *texts):
        v.tab.get_by_text(name, exact=True).first.click()
        v.sees(*texts)

    v.open(f"/experiments/{cellar.eid}/runs/{cellar.runs[0]}/artifacts", "notes")
    click("notes", "note.txt")
    click("note.txt", "a note on tannins")
    click("config.json", '"vintage"', "1999")
    click("table.csv", "bottle", "magnum", "31.25")
    click("answers.json", "question", "rather rosé")
    click("label.png")
    picture = v.appears(v.tab.locator("img[src^='blob:'], img[src^='data:image/png']").filter(visible=True), "the picture")
    assert picture.evaluate("i => i.decode().then(() => [i.naturalWidth, i.naturalHeight])") == [64, 48]
    v.open(f"/experiments/{cellar.eid}/runs/{cellar.model_run}/artifacts", "logged model")
    click("MLmodel", "mlflow.onnx", "model_uuid")


def test_logged_models(cellar, visit):  # noqa: F811
    v = visit(cellar.server)
    v.open(f"/experiments/{cellar.eid}/models", "Ready", "riesling-v2")
    model = f"/experiments/{cellar.eid}/models/{cellar.model_id}"
    v.open(model, cellar.model_id, "riesling-v2", "Model versions")
    v.open(model + "/artifacts", "MLmodel")
    v.tab.get_by_text("MLmodel", exact=True).click()
    v.sees("mlflow.onnx", "model_uuid")


def test_registered_models(cellar, visit):  # noqa: F811
    """A stage, an alias and a tag are changed by clicking."""
    v = visit(cellar.server)
    v.open("/models", "riesling")
    v.button("Close").click()  # the invitation to the registry without stages
    v.tab.get_by_role("link", name="riesling").click()
    v.sees("Version 1", "Created Time")
    v.tab.get_by_role("link", name="Version 1").click()
    v.sees("Inputs (13)", "Outputs (2)", "Stage", "riesling-v2")

    v.tab.get_by_text("None", exact=True).first.click()
    v.tab.get_by_role("menuitem").filter(has_text="Staging").click()
    v.button("OK").click()
    wait_until(lambda: cellar.client.get_model_version("riesling", "1").current_stage == "Staging", what="the stage")
    v.sees("Staging")

    v.tab.get_by_role("switch").first.click()  # the registry without stages
    v.sees("Aliases", "Stage (deprecated)")
    v.button("Add", exact=True).click()
    v.tab.get_by_role("dialog").get_by_role("combobox").click()
    v.tab.keyboard.type("champion")
    v.tab.keyboard.press("Enter")
    v.button("Save aliases").click()
    wait_until(lambda: cellar.client.get_model_version_by_alias("riesling", "champion").version == "1", what="the alias")
    v.sees("champion")
    v.tab.get_by_role("button", name="Tags").click()
    v.tab.get_by_placeholder("Name").fill("reviewed")
    v.tab.get_by_placeholder("Value").fill("by Ada")
    v.button("Add", exact=True).click()
    wait_until(lambda: cellar.client.get_model_version("riesling", "1").tags.get("reviewed") == "by Ada", what="the tag")
    v.sees("reviewed", "by Ada")
    v.open("/models/riesling", "region", "champion")


def test_prompts(cellar, visit):  # noqa: F811
    v = visit(cellar.server)
    v.open("/prompts", "greet", "Version 2", "en")
    v.tab.get_by_role("link", name="greet").click()
    v.sees("Good day", "the second words")
    v.tab.get_by_text("Version 1").click()
    v.sees("Hello", "the first words")
    v.tab.get_by_text("Compare", exact=True).first.click()
    v.sees("Comparing version")
    v.open(f"/experiments/{cellar.eid}/prompts", "Prompts")


HTML = """<!doctype html><body><p id=p>inert</p><script>
document.getElementById("p").textContent = "scripts run";
function tell(text) { var p = document.createElement("p"); p.textContent = text; document.body.appendChild(p); }
try { localStorage.length; tell("storage reached"); } catch (e) { tell("storage out of reach"); }
try { parent.document.body; tell("page reached"); } catch (e) { tell("page out of reach"); }
fetch(%r).then(function () { tell("api reached"); }, function () { tell("api out of reach"); });
</script></body>"""


def test_an_html_artifact_runs_in_a_cage(cellar, visit):  # noqa: F811
    """S22: what an artifact's scripts draw is seen, and they reach neither the page nor the API."""
    import mlflow

    mlflow.set_experiment("cages")
    with mlflow.start_run() as run:
        mlflow.log_text(HTML % (cellar.server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0"), "plot.html")
        mlflow.log_text('{"a": [1, 2]}', "config.json")
        mlflow.log_text("# title\n<img src=x onerror=alert(1)>", "note.md")
    v = visit(cellar.server)
    files = f"/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts"
    v.open(files + "/plot.html")
    cage = v.tab.frame_locator("iframe.mlflow-html-iframe")
    for text in ("scripts run", "storage out of reach", "page out of reach", "api out of reach"):
        cage.locator(f"text={text}").wait_for()
    wait_until(lambda: v.tab.wait_for_timeout(20) or len(v.troubles) > 1, what="the answer and the console's line about it")
    assert all("experiments/get" in t for t in v.troubles)  # the artifact's own attempt
    v.troubles.clear()
    v.tab.get_by_text("note.md", exact=True).click()
    v.appears(v.tab.get_by_role("heading", name="title", exact=True), "the note")
    v.tab.get_by_text("config.json", exact=True).click()
    v.sees('"a"')
