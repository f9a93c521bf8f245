"""Prompts, which are registered models with a tag."""

from goldens import delete, each, get, post

IS = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]


def prompt(name="gold prompt", text="Hi {{name}}", source="dummy-source", tags=IS, **more):
    return post("model-versions/create", {"name": name, "source": source, "tags": [*tags, {"key": "mlflow.prompt.text", "value": text}]} | more)


def search(**q):
    return get("registered-models/search", q)


CASES = [
    post("registered-models/create", {"name": "gold prompt", "tags": IS}), post("registered-models/create", {"name": "gold prompt", "tags": IS}), post("registered-models/create", {"name": "gold prompt"}), post("registered-models/create", {"name": "sources", "tags": IS}),
    *each(lambda n: post("registered-models/create", {"name": n, "tags": IS}), ["", "a/b", "a:b", "a b", "ünï", "n" * 300, "a.b"]), post("registered-models/create", {"name": "not quite a prompt", "tags": [{"key": "mlflow.prompt.is_prompt", "value": "false"}]}),
    prompt(), prompt(text="second"), prompt(text="t" * 100000), prompt(text="t" * 100001), prompt(source="s3://b/x"), prompt("sources"), prompt("none"), prompt(tags=[]), post("model-versions/create", {"name": "gold prompt", "source": "s3://b/x"}), prompt(text=""), prompt(source="prompt-template:x"), prompt(source="dummy-source", run_id="f" * 32),
    post("registered-models/alias", {"name": "gold prompt", "alias": "live", "version": "1"}), post("registered-models/alias", {"name": "gold prompt", "alias": "latest", "version": "1"}), get("registered-models/alias", {"name": "gold prompt", "alias": "live"}), get("registered-models/alias", {"name": "gold prompt", "alias": "none"}),
    get("registered-models/get", {"name": "gold prompt"}), get("model-versions/get", {"name": "gold prompt", "version": "1"}), get("model-versions/get", {"name": "gold prompt", "version": "99"}), post("model-versions/transition-stage", {"name": "gold prompt", "version": "1", "stage": "Production", "archive_existing_versions": False}),
    get("model-versions/get-download-uri", {"name": "gold prompt", "version": "1"}),
    *each(lambda f: search(filter=f), ["tags.`mlflow.prompt.is_prompt` = 'true'", "tags.`mlflow.prompt.is_prompt` = 'false' AND name LIKE 'gold%'", "tags.`mlflow.prompt.is_prompt` != 'true' AND name LIKE 'gold%'", "tags.mlflow.prompt.is_prompt = 'true'", "tags.`mlflow.prompt.is_prompt` = 'TRUE'",
                                      "name = 'gold prompt'", "name = 'gold prompt' AND tags.`mlflow.prompt.is_prompt` = 'true'", "name = 'not quite a prompt'"]),
    *each(lambda f: get("model-versions/search", {"filter": f, "max_results": 3}), ["name = 'gold prompt'", "tags.`mlflow.prompt.is_prompt` = 'true'", "name = 'gold prompt' AND tags.`mlflow.prompt.is_prompt` = 'true'", "name = 'gold prompt' AND tags.`mlflow.prompt.is_prompt` = 'false'"]),
    post("registered-models/set-tag", {"name": "gold prompt", "key": "mlflow.prompt.is_prompt", "value": "false"}), post("registered-models/set-tag", {"name": "gold prompt", "key": "mlflow.prompt.is_prompt", "value": "true"}), post("model-versions/set-tag", {"name": "gold prompt", "version": "1", "key": "mlflow.prompt.text", "value": "t" * 100001}),
    post("model-versions/set-tag", {"name": "gold prompt", "version": "1", "key": "mlflow.prompt.text", "value": "changed"}), delete("registered-models/delete-tag", {"name": "gold prompt", "key": "mlflow.prompt.is_prompt"}), post("registered-models/set-tag", {"name": "gold prompt", "key": "mlflow.prompt.is_prompt", "value": "true"}),
    post("registered-models/rename", {"name": "gold prompt", "new_name": "gold prompt 2"}), delete("model-versions/delete", {"name": "gold prompt 2", "version": "1"}), delete("registered-models/delete", {"name": "gold prompt 2"}), get("registered-models/get", {"name": "gold prompt"}),
]
