"""Who answers a request: sticky keys, rules, fallbacks, rate limits and the document that describes them, on real models and with real clients."""

import json
import subprocess
import threading

import pytest
import requests
from conftest import BINARY, ROOT, own_environ, wait_until
from lifecycle import BODY, JSON, add_version, files, move
from test_rollout import body, picky_files

API = "/api/2.0/serving-endpoints"
EXAMPLE = ROOT / "gateway" / "rest" / "example.json"


@pytest.fixture
def wine(server):
    """Endpoint `wine`: version 1 in Production, version 2 the challenger."""
    for version in ("v1", "v2"):
        add_version(server, "wine", files(version))
    move(server, "wine", "1")
    server.api("POST", "registered-models/alias", {"name": "wine", "alias": "challenger", "version": "2"})
    wait_until(lambda: ask(server).ok, what="wine answers")
    return server


def ask(server, data=BODY, endpoint="wine", query="", **headers):
    return requests.post(f"{server.url}/endpoints/{endpoint}/invocations{query}", data=data, headers=JSON | headers, timeout=30)


def config(canary=50, **parts):
    return {
        "served_entities": [
            {"name": "stable", "entity_name": "wine", "entity_stage": "Production"},
            {"name": "canary", "entity_name": "wine", "entity_alias": "challenger"},
        ],
        "traffic_config": {"routes": [
            {"served_entity_name": "stable", "traffic_percentage": 100 - canary},
            {"served_entity_name": "canary", "traffic_percentage": canary},
        ]},
    } | parts  # fmt: skip


def configure(server, wanted, name="wine"):
    """Writes the configuration and waits until it serves; returns the endpoint."""
    answer = requests.put(f"{server.url}{API}/{name}/config", json=wanted, timeout=30)
    assert answer.status_code == 200, answer.text

    def settled():
        got = server.get(f"{API}/{name}").json()
        return got if got["state"] == {"ready": "READY", "config_update": "NOT_UPDATING"} else None

    return wait_until(settled, what="the configuration serves")


def test_the_whole_example(wine):
    """The README's and the document's example is accepted, described by a valid document, and comes back as it was sent."""
    import jsonschema
    from openapi_spec_validator import OpenAPIV31SpecValidator

    example = json.loads(EXAMPLE.read_text())
    assert EXAMPLE.read_text() in (ROOT / "README.md").read_text()
    document = wine.get("/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    post = document["paths"][API]["post"]
    assert post["requestBody"]["content"]["application/json"]["example"] == example
    for schema, value in [
        (post["requestBody"]["content"]["application/json"]["schema"], example),
        (post["responses"]["200"]["content"]["application/json"]["schema"], None),
    ]:
        if value is None:
            answer = requests.post(wine.url + API, json=example, timeout=30)
            assert answer.status_code == 200, answer.text
            value = answer.json()
        jsonschema.validate(value, schema | {"components": document["components"]}, jsonschema.Draft202012Validator)
    made = value
    for part in ("sticky", "rules", "fallback", "shadows"):
        sent = example["config"][part]
        got = made["config"][part]
        if part == "rules":  # whose model is that of all entities
            assert got[1].pop("entity_name") == "wine"
        assert got == sent, part
    assert made["rate_limits"] == example["rate_limits"]
    served = {(route, method) for route, item in document["paths"].items() for method in item}
    assert {("/invocations", "post"), ("/openapi.json", "get"), (API + "/{name}/explain", "post")} <= served


def test_sticky_keys_stay(wine):
    """R31 with real requests: nobody leaves a canary that grows, whatever part of the request the key stands in."""
    keys = [f"user-{i}" for i in range(60)]
    for sticky, send in [
        ({"header": "X-User"}, lambda key: ask(wine, **{"X-User": key})),
        ({"cookie": "uid"}, lambda key: ask(wine, Cookie=f"uid={key}")),
        ({"query": "user"}, lambda key: ask(wine, query=f"?user={key}")),
        ({"field": "/user"}, lambda key: ask(wine, data=json.dumps({"user": key} | json.loads(BODY)).encode())),
    ]:
        inside = set()
        for percent in (5, 10, 50):
            configure(wine, config(percent, sticky=sticky))
            answers = {key: send(key) for key in keys}
            assert all(a.ok for a in answers.values()), next(a.text for a in answers.values() if not a.ok)
            canary = {key for key, a in answers.items() if a.headers["X-Sluice-Arm"] == "canary"}
            assert inside <= canary, f"{sticky}: {inside - canary} left at {percent} %"
            inside = canary
        assert 0 < len(inside) < len(keys)


def test_rules_and_explain(wine):
    rules = [
        {"name": "testers", "when": [{"header": "X-Group", "equals": "beta"}], "served_entity_name": "canary"},
        {"name": "pin", "when": [{"query": "version", "equals": "2"}], "entity_version": "2"},
    ]
    configure(wine, config(0, rules=rules))
    assert {ask(wine).headers["X-Sluice-Model-Version"] for _ in range(5)} == {"1"}
    assert ask(wine, **{"X-Group": "beta"}).headers["X-Sluice-Arm"] == "canary"
    assert ask(wine, query="?version=2").headers["X-Sluice-Model-Version"] == "2"
    explained = wine.post(f"{API}/wine/explain?version=2", headers={"X-Group": "alpha"}).json()
    assert explained["decided_by"] == "rule" and explained["served_entity"]["entity_version"] == 2
    assert [(r["name"], r["matches"]) for r in explained["rules"]] == [("testers", False), ("pin", True)]

    key = make_key(wine, "caller", "predict")
    manager = make_key(wine, "manager", "manage")
    wait_until(lambda: ask(wine).status_code == 401, what="keys count")
    by = lambda k: {"Authorization": f"Bearer {k}"}
    assert ask(wine, **by(key)).status_code == 200
    refused = ask(wine, query="?version=2", **by(key))
    assert refused.status_code == 403 and refused.json()["error_code"] == "PERMISSION_DENIED" and "pin" in refused.json()["message"]
    assert ask(wine, query="?version=2", **by(manager)).headers["X-Sluice-Model-Version"] == "2"


def make_key(server, name, permissions):
    made = subprocess.run(
        [BINARY, "keys", "create", name, "--permissions", permissions, "--data-dir", server.data_dir],
        capture_output=True, text=True, env=own_environ(), timeout=60, check=True,
    )  # fmt: skip
    return made.stdout.strip().splitlines()[-1].split()[-1]


def test_fallbacks(server):
    """A version that fails for some rows: its predecessor answers in its place, then a constant."""
    add_version(server, "wine", files("v1"))
    add_version(server, "wine", picky_files())
    move(server, "wine", "1")
    constant = {"predictions": [{"score": -1}]}
    fallback = [{"from": "stable", "on": ["error"], "previous_version": True}, {"on": ["error"], "answer": constant}]
    only = {"served_entities": [{"name": "stable", "entity_name": "wine", "entity_stage": "Production"}], "fallback": fallback}
    wait_until(lambda: ask(server).ok, what="wine answers")
    configure(server, only)
    move(server, "wine", "2")
    wait_until(lambda: ask(server, body(12)).headers.get("X-Sluice-Model-Version") == "2", what="version 2 answers")
    wait_until(lambda: "stable~previous" in str(server.get(f"{API}/wine/explain").json()["arms"]), what="version 1 is kept")
    good = ask(server, body(12))
    assert "X-Sluice-Fallback" not in good.headers
    for _ in range(10):  # saves up one execution more
        ask(server, body(12))
    instead = ask(server, body(15))
    assert instead.status_code == 200, instead.text
    assert instead.headers["X-Sluice-Fallback"] == "stable; cause=error" and instead.headers["X-Sluice-Model-Version"] == "1"
    configure(server, only | {"fallback": fallback[1:]})
    last = ask(server, body(15))
    assert last.json() == constant and last.headers["X-Sluice-Fallback"] == "stable; cause=error; answer=constant"


def test_rate_limits_and_documents_with_the_sdk(wine):
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.serving import EndpointTag, RateLimit, RateLimitKey, RateLimitRenewalPeriod

    configure(wine, config(50))
    endpoints = WorkspaceClient(host=wine.url, token="t").serving_endpoints
    minute = RateLimitRenewalPeriod.MINUTE
    set_now = endpoints.put("wine", rate_limits=[RateLimit(calls=3, key=RateLimitKey.ENDPOINT, renewal_period=minute)])
    assert [(r.calls, r.key) for r in set_now.rate_limits] == [(3, RateLimitKey.ENDPOINT)]
    # The table is swapped a little later; three are allowed then, and one in 20 s more.
    (seen,) = wait_until(lambda: [a for a in [ask(wine)] if a.status_code == 429], what="a request is one too many")
    assert seen.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED" and 1 <= int(seen.headers["Retry-After"]) <= 20
    endpoints.put("wine", rate_limits=[])
    wait_until(lambda: ask(wine).ok, what="no limit")

    document = json.loads(endpoints.get_open_api("wine").contents.read())
    assert "/serving-endpoints/wine/invocations" in document["paths"]
    assert 'endpoint="wine"' in endpoints.export_metrics("wine").contents.read().decode()
    assert endpoints.patch("wine", add_tags=[EndpointTag("team", "cellar")]).tags == [EndpointTag("team", "cellar")]
    wait_until(lambda: "serving" in endpoints.logs("wine", "canary").logs, what="the arm's log")
    assert endpoints.build_logs("wine", "canary").logs is not None


def test_only_one_of_two_writers_wins(wine):
    """R06: both write over the same configuration; the loser is told the one of now."""
    before = configure(wine, config(10))["config"]["config_version"]
    answers, go = [], threading.Barrier(2)

    def write(percent):
        go.wait()
        answers.append(requests.put(f"{wine.url}{API}/wine/config", json=config(percent, config_version=before), timeout=30))

    writers = [threading.Thread(target=write, args=(p,)) for p in (20, 30)]
    [w.start() for w in writers]
    [w.join() for w in writers]
    won, lost = sorted(answers, key=lambda a: a.status_code)
    assert (won.status_code, lost.status_code) == (200, 409), [a.text for a in answers]
    assert lost.json()["config_version"] == before + 1 == won.json()["config"]["config_version"]


def test_only_one_of_two_transitions_wins(wine):
    """R06: both move a stage (an alias) from the version that they saw; the loser is told the one of now."""
    for path, what in [
        ("model-versions/transition-stage", {"stage": "Production", "archive_existing_versions": True}),
        ("registered-models/alias", {"alias": "champion"}),
    ]:
        if "alias" in what:
            wine.api("POST", path, {"name": "wine", "version": "1", "expected_version": "0"} | what)
        answers, go = [], threading.Barrier(2)

        def write(version, path=path, what=what, answers=answers, go=go):
            go.wait()
            order = {"name": "wine", "version": version, "expected_version": "1"} | what
            answers.append((version, requests.post(f"{wine.url}/api/2.0/mlflow/{path}", json=order, timeout=30)))

        third = add_version(wine, "wine", files("v1"))
        writers = [threading.Thread(target=write, args=(v,)) for v in ("2", third)]
        [w.start() for w in writers]
        [w.join() for w in writers]
        (winner, won), (_, lost) = sorted(answers, key=lambda a: a[1].status_code)
        assert (won.status_code, lost.status_code) == (200, 409), [a.text for _, a in answers]
        assert lost.json()["error_code"] == "RESOURCE_CONFLICT" and lost.json()["current_version"] == int(winner), lost.text
    bad = wine.post("/api/2.0/mlflow/model-versions/transition-stage", json={"name": "wine", "version": "1", "stage": "Staging", "expected_version": "x"})
    assert bad.status_code == 400 and "expected_version" in bad.json()["message"], bad.text


def test_five_hundred_edits_under_traffic(wine):
    """R32: weights are edited by many writers at once; every answer comes from an arm to which the configuration that it names gave traffic."""
    canary_in, stop, problems = {}, threading.Event(), []  # canary_in: percent by configuration
    seen = []

    def edit(offset):
        with requests.Session() as session:
            for i in range(125):
                percent = (0, 100, 37, 0.01)[(i + offset) % 4]
                a = session.put(f"{wine.url}{API}/wine/config", json=config(percent), timeout=60)
                if a.ok:
                    canary_in[a.json()["config"]["config_version"]] = percent
                else:
                    problems.append(a.text)

    def call():
        mine = []
        seen.append(mine)
        with requests.Session() as session:
            while not stop.is_set():
                a = session.post(wine.url + "/endpoints/wine/invocations", data=BODY, headers=JSON, timeout=60)
                table, _, told = a.headers.get("X-Sluice-Revision", "0; config=0").partition("; config=")
                mine.append((a.status_code, a.headers.get("X-Sluice-Arm"), a.headers.get("X-Sluice-Model-Version"), int(table), int(told)))

    canary_in[configure(wine, config(50))["config"]["config_version"]] = 50
    callers = [threading.Thread(target=call) for _ in range(2)]
    writers = [threading.Thread(target=edit, args=(o,)) for o in range(4)]
    [t.start() for t in callers + writers]
    [w.join() for w in writers]
    stop.set()
    [c.join() for c in callers]
    assert not problems, problems[:3]
    assert sorted(canary_in) == list(range(min(canary_in), min(canary_in) + 501)), "every edit is a configuration of its own"
    share = {"stable": lambda v: 100 - canary_in[v], "canary": lambda v: canary_in[v]}
    for mine in seen:
        assert {answer[:3] for answer in mine} <= {(200, "stable", "1"), (200, "canary", "2")}, set(answer[:3] for answer in mine)
        unexplained = [answer for answer in mine if answer[4] not in canary_in or share[answer[1]](answer[4]) <= 0]
        assert not unexplained, unexplained[:3]
        tables = [answer[3] for answer in mine]
        assert tables == sorted(tables), "a caller met an older table after a newer one"
    assert len({answer[4] for mine in seen for answer in mine}) > 10, "the callers saw the edits"
    last = configure(wine, config(0))
    assert len(last["config"]["served_entities"]) == 2 and last["config"]["config_version"] == max(canary_in) + 1
    final = [ask(wine).headers for _ in range(20)]
    assert {(h["X-Sluice-Arm"], h["X-Sluice-Revision"].partition("config=")[2]) for h in final} == {("stable", str(max(canary_in) + 1))}
