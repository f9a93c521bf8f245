"""Plays the requests of *.txtar against a real MLflow server and writes its answers into the same files.

    .venv/bin/python registry/rest/testdata/record.py [case.txtar ...]

A file is a list of sections: "N METHOD path" with the body, and "N answer STATUS" with what MLflow answered. A section "N ours
STATUS" is written by hand where we answer differently on purpose; it is kept (message "*" there means any sentence). Words in {{}} stand for ids and places of this run:
run, root (a run below the artifact proxy, and its artifact root), localrun, localroot (a run below a local folder), model,
modelroot (a logged model of localrun, and its artifact root), tmp (the folder above the local ones), webhook1, webhook2 … (ids
of the webhooks created in the file). Timestamps become 0.
"""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).parent
SECTION = re.compile(r"^-- (.*) --$", re.M)


def call(base, method, path, body=None):
    data = None if body is None else body.encode()
    request = urllib.request.Request(base + "/api/2.0/mlflow" + path, data, method=method)
    if data is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as e:
        return e.code, json.loads(e.read())


def normal(value):
    if isinstance(value, dict):
        return {k: 0 if k.endswith("_timestamp") else normal(v) for k, v in value.items()}
    return [normal(v) for v in value] if isinstance(value, list) else value


def sections(text):
    parts = SECTION.split(text)
    return parts[0], list(zip(parts[1::2], parts[2::2]))


def record(base, path, words):
    head, parts = sections(path.read_text())
    ours = {name.split()[0]: (name, body) for name, body in parts if " ours " in name}
    out = head
    for name, body in parts:
        number, method, *rest = name.split(" ", 2)
        if method in ("answer", "ours"):
            continue
        target, sent = rest[0], body.strip()
        for word, value in words.items():
            target, sent = target.replace("{{%s}}" % word, value), sent.replace("{{%s}}" % word, value)
        status, answer = call(base, method, target, sent or None)
        if method == "POST" and "webhook" in answer:
            words["webhook%d" % (1 + sum(w.startswith("webhook") for w in words))] = answer["webhook"]["webhook_id"]
        text = json.dumps(normal(answer), indent=1, sort_keys=True, ensure_ascii=False)
        for word, value in words.items():
            text = text.replace(value, "{{%s}}" % word)
        out += f"-- {name} --\n{body.strip()}\n" if body.strip() else f"-- {name} --\n"
        out += f"-- {number} answer {status} --\n{text}\n"
        if number in ours:
            out += "-- %s --\n%s" % ours[number]
    path.write_text(out)


def clean(base):
    for f in ("", "tags.`mlflow.prompt.is_prompt` = 'true'"):
        _, found = call(base, "GET", "/registered-models/search?filter=" + urllib.parse.quote(f))
        for m in found.get("registered_models", []):
            call(base, "DELETE", "/registered-models/delete", json.dumps({"name": m["name"]}))


def places(base, tmp):
    """Makes runs and a logged model; longest words first, so that a root is found before the id inside it."""
    words = {"tmp": tmp}
    for prefix, location in (("", None), ("local", f"file://{tmp}/artifacts")):
        body = {"name": "e" + prefix} | ({"artifact_location": location} if location else {})
        experiment = call(base, "POST", "/experiments/create", json.dumps(body))[1]["experiment_id"]
        info = call(base, "POST", "/runs/create", json.dumps({"experiment_id": experiment}))[1]["run"]["info"]
        words[prefix + "root"], words[prefix + "run"] = info["artifact_uri"], info["run_id"]
    body = {"experiment_id": experiment, "name": "m", "source_run_id": words["localrun"]}
    info = call(base, "POST", "/logged-models", json.dumps(body))[1]["model"]["info"]
    words |= {"modelroot": info["artifact_uri"], "model": info["model_id"]}
    return dict(sorted(words.items(), key=lambda w: -len(w[1])))


def main():
    with tempfile.TemporaryDirectory() as tmp, socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        s.close()
        base = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{tmp}/mlflow.db", "--artifacts-destination", f"{tmp}/mlartifacts"]
        server = subprocess.Popen(command, cwd=tmp)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(base + "/health")
                    break
                except OSError:
                    time.sleep(0.2)
            words = places(base, tmp)
            for path in map(pathlib.Path, sys.argv[1:] or sorted(HERE.glob("*.txtar"))):
                record(base, path, words)
                clean(base)
        finally:
            server.terminate()
            server.wait()


main()
