"""Registered models and their versions: names, stages, aliases, tags, deletes, renames, search."""

from goldens import Case, delete, each, get, patch, post

RM, MV = "registered-models/", "model-versions/"


def model(name, **more):
    return post(RM + "create", {"name": name} | more)


def version(name="gold", **more):
    return post(MV + "create", {"name": name, "source": "s3://b/m"} | more)


def alias(name, version="1", model="gold"):
    return post(RM + "alias", {"name": model, "alias": name, "version": version})


def models(**q):
    return get(RM + "search", {"filter": "name LIKE 'gold%'"} | q)


def versions(**q):
    return get(MV + "search", {"filter": "name LIKE 'gold%'"} | q)


def move(stage, version="1", archive=False, name="gold"):
    return post(MV + "transition-stage", {"name": name, "version": version, "stage": stage, "archive_existing_versions": archive})


def v(n):
    return {"name": "gold", "version": n}


VERSIONS = ["1", 1, "99", "0", "-1", "x", "", "1.0", "01", " 1", "1e0", "9" * 30, None, [], {}, True, 1.5]

CASES = [
    model("gold", description="a thing", tags=[{"key": "team", "value": "red"}, {"key": "x y", "value": ""}]), model("gold"), model("gold 2", tags=[{"key": "team", "value": "blue"}]), model("Gold 3"),
    *each(model, ["", " ", "a/b", "a:b", "..", ".", "../x", "x/..", "n" * 256, "n" * 300, "ünï", "a%2fb", "'; drop table registered_models; --"]), post(RM + "create"), *each(model, [5, None, [], {}, "a\nb", "a\\b"]), *each(lambda n: delete(RM + "delete", {"name": n}), ["a\nb", "a\\b"]),
    model("gold long description", description="d" * 5000), model("gold longer description", description="d" * 5001), model("gold tag 1", tags=[{"key": "k" * 251, "value": "v"}]), model("gold tag 2", tags=[{"key": "k", "value": "v" * 100001}]),
    model("gold tag 3", tags=[{"value": "v"}]), model("gold tag 4", tags=[{"key": "a"}]), model("gold tag 5", tags=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]), model("gold tag 6", tags="x"), model("gold tag 7", tags=[{"key": "a#b", "value": "1"}]), model("gold tag 8", tags=[{"key": "../a", "value": "1"}]),
    model("gold description 5", description=5), model("gold long tag", tags=[{"key": "k", "value": "v" * 5001}]),
    get(RM + "get", {"name": "gold"}), get(RM + "get", {"name": "none"}), get(RM + "get", {"name": ""}), get(RM + "get"), get(RM + "get", {"name": "GOLD"}), get(RM + "get", {"name": "a/b"}), get(RM + "get", {"name": "n" * 5000}),
    patch(RM + "update", {"name": "gold", "description": "new"}), patch(RM + "update", {"name": "gold"}), patch(RM + "update", {"name": "none", "description": "x"}), patch(RM + "update", {"description": "x"}), patch(RM + "update", {"name": "gold", "description": 5}), patch(RM + "update", {"name": "gold", "description": "d" * 5001}),
    patch(RM + "update", {"name": "", "description": "x"}), patch(RM + "update", {"name": "gold", "description": ""}), patch(RM + "update", {"name": "gold", "description": None}),
    # Tags of models
    *each(lambda k: post(RM + "set-tag", {"name": "gold", "key": k, "value": "1"}), ["a", "k" * 250, "k" * 251, "", "a#b", "../a", "/a", "a/", "ü", 5, None]), post(RM + "set-tag", {"name": "gold", "key": "a", "value": ""}), post(RM + "set-tag", {"name": "gold", "key": "a"}), post(RM + "set-tag", {"key": "a", "value": "1"}),
    post(RM + "set-tag", {"name": "none", "key": "a", "value": "1"}), post(RM + "set-tag", {"name": "gold", "key": "a", "value": "v" * 100000}), post(RM + "set-tag", {"name": "gold", "key": "a", "value": "v" * 100001}), post(RM + "set-tag", {"name": "gold", "key": "a", "value": 5}), post(RM + "set-tag", {"name": "", "key": "a", "value": "1"}),
    delete(RM + "delete-tag", {"name": "gold", "key": "a"}), delete(RM + "delete-tag", {"name": "gold", "key": "a"}), delete(RM + "delete-tag", {"name": "none", "key": "a"}), delete(RM + "delete-tag", {"name": "gold"}), delete(RM + "delete-tag", {"key": "a"}), delete(RM + "delete-tag", {"name": "gold", "key": ""}),
    delete(RM + "delete-tag", {"name": "gold", "key": "k" * 250}), delete(RM + "delete-tag", {"name": "gold", "key": "ü"}),
    # Versions
    version(), version(description="second", tags=[{"key": "q", "value": "good"}], run_link="http://link"), version(source="s3://b/other"), version("gold 2"), version("none"), post(MV + "create", {"name": "gold"}), post(MV + "create", {"source": "s3://b/m"}), post(MV + "create"), version(""), version(source=""), version(source=5), version(5),
    version(run_id="f" * 32), version(run_id=""), version(model_id="m-none"), version(tags=[{"key": "k" * 251, "value": "v"}]), version(tags=[{"key": "k", "value": "v" * 100001}]), version(tags=[{"key": "k"}]), version(tags=[{"value": "1"}]), version(tags="x"), version(description="d" * 5001), version(source="s3://b/" + "x" * 600), version("gold 2", source="s3://b/" + "x" * 400),
    version(run_link="l" * 600), version(tags=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]),
    *each(lambda n: get(MV + "get", {"name": "gold", "version": n}), [n for n in VERSIONS if isinstance(n, (str, int)) and n is not True]), get(MV + "get", {"name": "none", "version": "1"}), get(MV + "get", {"name": "gold"}), get(MV + "get", {"version": "1"}), get(MV + "get"),
    *each(lambda n: patch(MV + "update", v(n) | {"description": "d"}), VERSIONS), patch(MV + "update", v("1")), patch(MV + "update", v("1") | {"description": ""}), patch(MV + "update", {"name": "none", "version": "1", "description": "d"}), patch(MV + "update", v("1") | {"description": "d" * 5001}), patch(MV + "update", {"version": "1"}), patch(MV + "update", {"name": "gold"}),
    patch(MV + "update", v("1") | {"description": 5}),
    get(MV + "get-download-uri", v("1")), get(MV + "get-download-uri", v("99")), get(MV + "get-download-uri", {"name": "gold"}), get(MV + "get-download-uri", v("x")), get(MV + "get-download-uri", {"name": "none", "version": "1"}),
    # Tags of versions
    *each(lambda k: post(MV + "set-tag", v("1") | {"key": k, "value": "1"}), ["a", "k" * 250, "k" * 251, "", "a#b", "../a", 5, None]), post(MV + "set-tag", v("1") | {"key": "a"}), post(MV + "set-tag", v("1") | {"key": "a", "value": "v" * 100001}), post(MV + "set-tag", v("99") | {"key": "a", "value": "1"}),
    post(MV + "set-tag", v("x") | {"key": "a", "value": "1"}), post(MV + "set-tag", {"name": "gold", "key": "a", "value": "1"}), post(MV + "set-tag", {"name": "none", "version": "1", "key": "a", "value": "1"}), post(MV + "set-tag", v("1") | {"key": "a", "value": 5}), post(MV + "set-tag", v("1") | {"key": "a", "value": ""}),
    delete(MV + "delete-tag", v("1") | {"key": "a"}), delete(MV + "delete-tag", v("1") | {"key": "a"}), delete(MV + "delete-tag", v("99") | {"key": "a"}), delete(MV + "delete-tag", v("x") | {"key": "a"}), delete(MV + "delete-tag", v("1")), delete(MV + "delete-tag", {"name": "gold", "key": "a"}), delete(MV + "delete-tag", {"name": "none", "version": "1", "key": "a"}),
    # Stages
    *each(move, ["Staging", "staging", "PRODUCTION", "None", "none", "Archived", "nonsense", "", " Staging", "Deleted_Internal", 5, None]), move("Staging", "99"), move("Staging", "x"), move("Staging", name="none"), move("Staging", name=""), post(MV + "transition-stage", v("1")), post(MV + "transition-stage", {"name": "gold", "stage": "Staging"}),
    post(MV + "transition-stage", {"version": "1", "stage": "Staging"}), post(MV + "transition-stage", v("1") | {"stage": "Staging"}), move("Production", "1", True), move("Production", "2", True), move("Production", "3"), get(RM + "get", {"name": "gold"}), move("None", "3", True), move("Archived", "3", True), move("Staging", "3", "true"), move("Staging", "3", "x"),
    move("Staging", "3", 1),
    *each(lambda s: post(RM + "get-latest-versions", {"name": "gold", "stages": s}), [[], ["Production"], ["production", "None"], ["nonsense"], [""], "Production", [5], None]), get(RM + "get-latest-versions", {"name": "gold", "stages": ["Archived", "Staging"]}), get(RM + "get-latest-versions", {"name": "none"}), get(RM + "get-latest-versions"), post(RM + "get-latest-versions"),
    # Aliases
    *each(alias, ["champion", "Champion", "a-b_c", "x" * 255, "x" * 256, "latest", "Latest", "LATEST", "v1", "V12", "v1a", "version", "a b", "a.b", "a/b", "ü", "1", "-", "_", "", " ", 5, None]), *each(lambda n: alias("al", n), VERSIONS), alias("al", model="none"), alias("al", model=""), alias("champion", "2"), alias("champion", "2"),
    post(RM + "alias", {"name": "gold", "alias": "z"}), post(RM + "alias", {"name": "gold", "version": "1"}), post(RM + "alias", {"alias": "z", "version": "1"}),
    *each(lambda a: get(RM + "alias", {"name": "gold", "alias": a}), ["champion", "CHAMPION", "none", "", "latest", "Latest", "v1", "a b", "x" * 300]), get(RM + "alias", {"name": "none", "alias": "champion"}), get(RM + "alias", {"name": "gold"}), get(RM + "alias", {"alias": "champion"}),
    get(RM + "get", {"name": "gold"}), get(MV + "get", v("2")), delete(RM + "alias", {"name": "gold", "alias": "a-b_c"}), delete(RM + "alias", {"name": "gold", "alias": "a-b_c"}), delete(RM + "alias", {"name": "none", "alias": "a"}), delete(RM + "alias", {"name": "gold"}), delete(RM + "alias", {"alias": "a"}), delete(RM + "alias", {"name": "gold", "alias": "latest"}),
    delete(RM + "alias", {"name": "gold", "alias": ""}),
    # Search
    models(), get(RM + "search"), *each(lambda n: models(max_results=n), [1, 2, 1000, 1001, "x", -1, "1.5"]), *each(lambda t: models(page_token=t), ["x", "bm9wZQ==", "W10=", "eyJvZmZzZXQiOiAieCJ9", "ü"]),
    *each(lambda f: models(filter=f), [
        "name = 'gold'", "name LIKE 'gold%'", "name ILIKE 'GOLD%'", "name != 'gold' AND name LIKE 'gold%'", "name > 'a'", "name = gold", "name = 1", "name IN ('gold')", "name = 'a' OR name = 'b'", "(name = 'gold')", "name", "name =", "= 'x'", "name = 'unclosed", "tags.team = 'red'", "tag.team = 'red'", "tags.team != 'red'", "tags.team LIKE 'r%'",
        "tags.team ILIKE 'R%'", "tags.team > 'a'", "tags.team = 1", "tags.team IS NULL", "tags.`x y` = ''", "tags.\"x y\" = ''", "attribute.name = 'gold'", "attributes.name = 'gold'", "nonsense = 'x'", "nonsense.a = 'x'", "run_id = 'x'", "version_number = 1", "name = 'gold' AND tags.team = 'red'", "name LIKE '%' AND name LIKE 'g%'", "name = 'gold';", "NAME = 'gold'",
        "last_updated_timestamp > 0", "name='gold'", "name IS NULL", "name NOT LIKE 'a%'", "tags.team = 'red' AND tags.`x y` = ''", "params.a = '1'"]),
    *each(lambda o: models(order_by=o), ["name", "name DESC", "name ASC", "timestamp", "last_updated_timestamp", "last_updated_timestamp DESC", "creation_timestamp", "nonsense", "name NOPE", "name DESC extra", "", "tags.team", "`name`", "version_number"]), models(order_by=["name", "name DESC"]), models(order_by=["timestamp", "name"]),
    models(order_by=["timestamp", "last_updated_timestamp"]),
    versions(), get(MV + "search"), *each(lambda n: versions(max_results=n), [1, 2, 200000, 200001, "x", 0, -1]), *each(lambda t: versions(page_token=t), ["x", "bm9wZQ==", "W10="]),
    *each(lambda f: versions(filter=f), [
        "name = 'gold'", "name LIKE 'gold%'", "name ILIKE 'GOLD'", "name != 'gold'", "name > 'a'", "name = gold", "name IN ('gold')", "run_id = 'x'", "run_id IN ('x', 'y')", "run_id IN ()", "run_id IN ('x', 1)", "run_id NOT IN ('x')", "run_id LIKE 'x%'", "source_path = 's3://b/m'", "source_path LIKE 's3%'", "source = 's3://b/m'", "version_number = 1", "version_number > 1",
        "version_number >= 2 AND name = 'gold'", "version_number = '1'", "version_number LIKE '1'", "version_number IN (1)", "version_number = 1.5", "version = 1", "tags.q = 'good'", "tags.q != 'good'", "tags.q LIKE 'g%'", "tags.q IS NULL", "tags.q > 'a'", "tags.q = 1", "current_stage = 'None'", "aliases = 'x'", "alias = 'x'", "nonsense = 1", "nonsense.a = 'x'", "name", "name = 'a' OR name = 'b'",
        "attribute.name = 'gold'", "user_id = 'x'", "creation_timestamp > 0", "last_updated_timestamp > 0", "name = 'unclosed", "(name = 'gold')", "status = 'READY'", "model_id = 'x'"]),
    *each(lambda o: versions(order_by=o), ["name", "name DESC", "version_number", "version_number DESC", "creation_timestamp", "last_updated_timestamp DESC", "timestamp", "nonsense", "name NOPE", "", "run_id", "tags.q"]), versions(order_by=["name", "version_number DESC"]), versions(order_by=["name", "name"]),
    # Renames and deletes
    post(RM + "rename", {"name": "gold", "new_name": "gold 2"}), post(RM + "rename", {"name": "gold", "new_name": "gold"}), post(RM + "rename", {"name": "gold", "new_name": ""}), post(RM + "rename", {"name": "gold"}), post(RM + "rename", {"name": "none", "new_name": "x"}), post(RM + "rename", {"new_name": "x"}), post(RM + "rename", {"name": "gold", "new_name": "a/b"}),
    post(RM + "rename", {"name": "gold", "new_name": " "}), post(RM + "rename", {"name": "gold", "new_name": 5}), post(RM + "rename", {"name": "gold", "new_name": "gold renamed"}), get(RM + "get", {"name": "gold renamed"}), get(RM + "get", {"name": "gold"}), get(RM + "alias", {"name": "gold renamed", "alias": "champion"}),
    post(RM + "rename", {"name": "gold renamed", "new_name": "gold"}),
    delete(MV + "delete", v("2")), delete(MV + "delete", v("2")), get(MV + "get", v("2")), get(RM + "alias", {"name": "gold", "alias": "champion"}), patch(MV + "update", v("2") | {"description": "x"}), move("Staging", "2"), post(MV + "set-tag", v("2") | {"key": "a", "value": "1"}), alias("again", "2"), get(MV + "get-download-uri", v("2")),
    *each(lambda n: delete(MV + "delete", v(n)), ["99", "x", "", None, 0]), delete(MV + "delete", {"name": "gold"}), delete(MV + "delete", {"version": "1"}), delete(MV + "delete", {"name": "none", "version": "1"}), version(), get(RM + "get", {"name": "gold"}),
    delete(RM + "delete", {"name": "gold 2"}), delete(RM + "delete", {"name": "gold 2"}), get(MV + "get", {"name": "gold 2", "version": "1"}), delete(RM + "delete"), delete(RM + "delete", {"name": ""}), delete(RM + "delete", {"name": 5}), model("gold 2"), version("gold 2"), get(MV + "search", {"filter": "name = 'gold 2'"}),
    Case("GET", "/model-versions/get-artifact", {}), Case("GET", "/model-versions/get-artifact", {"name": "none", "version": "1", "path": "x"}), Case("GET", "/model-versions/get-artifact", {"name": "gold", "version": "1"}), Case("GET", "/model-versions/get-artifact", {"name": "gold", "version": "1", "path": "../x"}),
    Case("GET", "/model-versions/get-artifact", {"name": "gold", "version": "x", "path": "y"}),
]
