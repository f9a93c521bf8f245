"""Prompts as MLflow's client stores them: registered models with tags, hidden from the searches for models."""

import pytest


def test_prompt_registry(shared_server, mlflow_at):
    import mlflow

    client = mlflow_at(shared_server)
    first = mlflow.genai.register_prompt(name="greet", template="Hello {{name}}!", commit_message="first", tags={"lang": "en"})
    second = mlflow.genai.register_prompt(name="greet", template="Good day {{name}}, welcome to {{place}}.")
    chat = mlflow.genai.register_prompt(
        name="chat", template=[{"role": "system", "content": "You are {{style}}."}, {"role": "user", "content": "{{question}}"}]
    )
    assert (first.version, second.version, chat.version) == (1, 2, 1)

    loaded = mlflow.genai.load_prompt("prompts:/greet/1")
    assert loaded.template == "Hello {{name}}!" and loaded.commit_message == "first" and loaded.tags["lang"] == "en"
    assert loaded.format(name="Ada") == "Hello Ada!" and loaded.variables == {"name"}
    assert mlflow.genai.load_prompt("greet", version=2).variables == {"name", "place"}
    assert mlflow.genai.load_prompt("prompts:/greet@latest").version == 2
    assert mlflow.genai.load_prompt("chat", version=1).format(style="kind", question="why?")[1] == {"role": "user", "content": "why?"}

    mlflow.genai.set_prompt_alias("greet", alias="live", version=1)
    assert mlflow.genai.load_prompt("prompts:/greet@live").version == 1
    mlflow.genai.set_prompt_alias("greet", alias="live", version=2)
    assert mlflow.genai.load_prompt("prompts:/greet@live").version == 2
    mlflow.genai.delete_prompt_alias("greet", alias="live")
    with pytest.raises(mlflow.exceptions.MlflowException):
        mlflow.genai.load_prompt("prompts:/greet@live")

    assert sorted(p.name for p in mlflow.genai.search_prompts()) == ["chat", "greet"]
    assert [p.name for p in mlflow.genai.search_prompts("name = 'greet'")] == ["greet"]
    assert [m.name for m in client.search_registered_models()] == []
    assert mlflow.genai.load_prompt("prompts:/nobody/1", allow_missing=True) is None

    client.set_prompt_tag("greet", "team", "front")
    assert client.get_prompt("greet").tags["team"] == "front"
    assert [p.name for p in mlflow.genai.search_prompts("tags.team = 'front'")] == ["greet"]
    client.delete_prompt_tag("greet", "team")
    assert "team" not in client.get_prompt("greet").tags
    client.set_prompt_version_tag("greet", 2, "state", "draft")
    assert client.get_prompt_version("greet", 2).tags["state"] == "draft"
    client.delete_prompt_version_tag("greet", 2, "state")
    assert [v.version for v in client.search_prompt_versions("greet")] == [2, 1]

    client.create_registered_model("cellar")
    with pytest.raises(mlflow.exceptions.MlflowException, match="same name"):
        mlflow.genai.register_prompt(name="cellar", template="x")
    with pytest.raises(mlflow.exceptions.MlflowException, match="already"):
        client.create_registered_model("greet")

    client.delete_prompt_version("greet", "2")
    assert mlflow.genai.load_prompt("prompts:/greet@latest").version == 1
    client.delete_prompt_version("greet", "1")
    client.delete_prompt("greet")
    assert [p.name for p in mlflow.genai.search_prompts()] == ["chat"]


def test_prompt_in_a_run(shared_server, mlflow_at):
    """Loading a prompt inside a run links it to the run, as the web UI shows it."""
    import mlflow

    client = mlflow_at(shared_server)
    mlflow.genai.register_prompt(name="linked", template="Say {{word}}")
    with mlflow.start_run() as run:
        mlflow.genai.load_prompt("prompts:/linked/1")
    assert "linked" in str(client.get_run(run.info.run_id).data.tags)
