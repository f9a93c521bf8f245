"""Experiments: names, locations, states, tags, search."""

from goldens import AJAX, each, get, post

SPACES = "name with  two spaces"


def create(name, **kw):
    return post("experiments/create", {"name": name}, **kw)


def at(location):
    return post("experiments/create", {"name": f"at {location}"[:400], "artifact_location": location})


def tag(key, value="v", experiment="{a}"):
    return post("experiments/set-experiment-tag", {"experiment_id": experiment, "key": key, "value": value})


def search(**body):
    return post("experiments/search", {"max_results": 100, "filter": "name LIKE 'gold%'"} | body)


def filtered(text):
    return post("experiments/search", {"max_results": 100, "filter": text, "order_by": ["name"], "view_type": "ALL"})


def ordered(*by):
    return post("experiments/search", {"max_results": 100, "filter": "name LIKE 'gold%'", "order_by": list(by)})


CASES = [
    create("gold a", keep={"a": "experiment_id"}),
    create("gold a"),
    create(""), create(" "), create(SPACES), create("x" * 500), create("x" * 501), create("x" * 5000), create("ünï/cödé"), create("a\nb"), create("'; drop table experiments; --"),
    post("experiments/create"),
    post("experiments/create", {"name": "gold b", "artifact_location": "s3://bucket/b", "tags": [{"key": "team", "value": "red"}, {"key": "x y", "value": ""}]}, keep={"b": "experiment_id"}),
    post("experiments/create", {"name": "gold c", "tags": [{"key": "team", "value": "blue"}]}, keep={"c": "experiment_id"}),
    post("experiments/create", {"name": "a tag without key", "tags": [{"value": "red"}]}),
    post("experiments/create", {"name": "a tag without value", "tags": [{"key": "red"}]}),
    post("experiments/create", {"name": "a long tag key", "tags": [{"key": "k" * 251, "value": "v"}]}),
    post("experiments/create", {"name": "a long tag value", "tags": [{"key": "k", "value": "v" * 5001}]}),
    post("experiments/create", {"name": "a bad tag key", "tags": [{"key": "a#b", "value": "v"}]}),
    post("experiments/create", {"name": "a tag key like a path", "tags": [{"key": "../a", "value": "v"}]}),
    post("experiments/create", {"name": "the same tag twice", "tags": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]}),
    post("experiments/create", {"name": "the same tag and value twice", "tags": [{"key": "k", "value": "1"}, {"key": "k", "value": "1"}]}),
    # Locations
    *each(at, ["", "s3://b/e", "gs://b/e", "dbfs:/e", "runs:/x/y", "models:/x/1", "s3://b/#f", "s3://b/e?x=../..", "s3://b/../c", "s3://b/%2e%2e/c", "s3://b/e;x", "http:///#/../../../etc/", "http://h/p?/../../etc",
               "mlflow-artifacts:/x", "mlflow-artifacts:/../x", "s3://" + "b" * 2040, "s3://" + "b" * 2050, "s3:/b/a/../../x", "wasbs://c@h/x", "s3://b/%252e%252e/c"]),
    *each(lambda v: at(v), ["relative/place", "/absolute/place", "file:///absolute/place", "file:relative", "nonsense:/x", "../up", "./here", "~/home", "C:\\x"]),
    # Reads
    get("experiments/get", {"experiment_id": "{a}"}),
    get("experiments/get", {"experiment_id": "987654321"}),
    get("experiments/get"),
    get("experiments/get-by-name", {"experiment_name": "gold b"}),
    get("experiments/get-by-name", {"experiment_name": "GOLD B"}),
    get("experiments/get-by-name", {"experiment_name": "none"}),
    get("experiments/get-by-name", {"experiment_name": ""}),
    get("experiments/get-by-name"),
    # Renames
    post("experiments/update", {"experiment_id": "{a}", "new_name": "gold a2"}),
    post("experiments/update", {"experiment_id": "{a}", "new_name": "gold a2"}),
    post("experiments/update", {"experiment_id": "{a}", "new_name": "gold b"}),
    post("experiments/update", {"experiment_id": "{a}", "new_name": ""}),
    post("experiments/update", {"experiment_id": "{a}"}),
    post("experiments/update", {"experiment_id": "{a}", "new_name": "x" * 501}),
    post("experiments/update", {"experiment_id": "987654321", "new_name": "x"}),
    post("experiments/update", {"new_name": "x"}),
    post("experiments/update", {"experiment_id": "x", "new_name": "x"}),
    # Tags
    tag("team", "green"), tag("k" * 250), tag("k" * 251), tag("v", "v" * 5000), tag("v", "v" * 5001), tag("a/b.c-d_e:f g"), tag("a#b"), tag("../a"), tag("a//b"), tag("/a"), tag("a/"), tag("."), tag(""), tag("ü"),
    tag("e", ""), tag("x", experiment="987654321"), tag("x", experiment="x"), tag("x", experiment=""),
    post("experiments/set-experiment-tag", {"experiment_id": "{a}", "key": "novalue"}),
    post("experiments/set-experiment-tag", {"key": "a", "value": "b"}),
    post("experiments/delete-experiment-tag", {"experiment_id": "{a}", "key": "e"}),
    post("experiments/delete-experiment-tag", {"experiment_id": "{a}", "key": "e"}),
    post("experiments/delete-experiment-tag", {"experiment_id": "{a}"}),
    post("experiments/delete-experiment-tag", {"experiment_id": "987654321", "key": "e"}),
    post("experiments/delete-experiment-tag", {"key": "e"}),
    # States
    post("experiments/delete", {"experiment_id": "{c}"}),
    post("experiments/delete", {"experiment_id": "{c}"}),
    post("experiments/delete", {"experiment_id": "987654321"}),
    post("experiments/delete", {"experiment_id": "x"}),
    post("experiments/delete"),
    create("gold c"),
    get("experiments/get", {"experiment_id": "{c}"}),
    get("experiments/get-by-name", {"experiment_name": "gold c"}),
    post("experiments/update", {"experiment_id": "{c}", "new_name": "gold d"}),
    tag("x", experiment="{c}"),
    post("experiments/delete-experiment-tag", {"experiment_id": "{c}", "key": "team"}),
    post("runs/create", {"experiment_id": "{c}"}),
    post("runs/create", {"experiment_id": "987654321"}),
    post("runs/create", {"experiment_id": "x"}),
    post("runs/create"),
    post("logged-models", {"experiment_id": "{c}", "name": "m"}),
    search(view_type="DELETED_ONLY"), search(view_type="ACTIVE_ONLY"), search(view_type="ALL"), search(view_type="NONSENSE"), search(view_type=2), search(view_type=7),
    post("experiments/restore", {"experiment_id": "{c}"}),
    post("experiments/restore", {"experiment_id": "{c}"}),
    post("experiments/restore", {"experiment_id": "987654321"}),
    post("experiments/restore", {"experiment_id": "x"}),
    post("experiments/restore"),
    post("experiments/delete", {"experiment_id": "0"}),
    get("experiments/get", {"experiment_id": "0"}),
    post("experiments/restore", {"experiment_id": "0"}),
    # Search
    post("experiments/search"),
    get("experiments/search"),
    *each(lambda n: search(max_results=n), [0, -1, 1, 2, 50000, 50001, "x", "2", 1.5, None]),
    get("experiments/search", {"max_results": 2, "filter": "name LIKE 'gold%'", "order_by": ["name DESC"]}),
    get("experiments/search", {"max_results": "x"}),
    *each(lambda t: search(page_token=t), ["", "x", "bm9wZQ==", "eyJvZmZzZXQiOiAieCJ9", "eyJvZmZzZXQiOiAtMX0=", "W10=", "ü", 12]),
    *each(filtered, [
        "name = 'gold b'", "name != 'gold b' AND name LIKE 'gold%'", "name LIKE 'GOLD%'", "name ILIKE 'GOLD%'", "name LIKE '%'' b'", "name = \"gold b\"", "name = `gold b`", "name = gold", "name > 'gold'", "name = 1", "name",
        "name =", "= 'a'", "name = 'a' OR name = 'b'", "name = 'a' AND", "AND name = 'a'", "(name = 'gold b')", "NOT name = 'a'", "name IN ('gold b')", "name NOT IN ('gold b')", "name IS NULL", "name IN ()", "name BETWEEN 'a' AND 'b'",
        "attribute.name = 'gold b'", "attributes.name = 'gold b'", "attr.name = 'gold b'", "nonsense = 'x'", "attribute.nonsense = 'x'", "nonsense.a = 'x'", "experiment_id = '1'", "lifecycle_stage = 'active'", "tags.team = 'red'",
        "tag.team = 'red'", "tags.team != 'red'", "tags.team LIKE 're%'", "tags.team ILIKE 'RE%'", "tags.`x y` = ''", "tags.\"x y\" = ''", "tags.team > 'a'", "tags.team = 1", "tags.team = red", "tags.none IS NULL AND name LIKE 'gold%'",
        "tags.team IS NULL AND name LIKE 'gold%'", "tags.team IS NOT NULL", "tags.team IN ('red')", "tags. = 'a'", "tags = 'a'", "metrics.a > 1", "params.a = '1'", "creation_time > 0 AND name LIKE 'gold%'", "creation_time = 'x'", "creation_time > '0'",
        "creation_time LIKE '1%'", "last_update_time >= 0 AND name LIKE 'gold%'", "last_update_time < 0", "creation_time != 5 AND name LIKE 'gold%'", "name = 'gold b';", "name = 'gold b' -- comment", "name = 'gold b' /* comment */",
        "name = 'unclosed", "name = 'gold b'' '", "name == 'gold b'", "name <> 'gold b'", "name = 'gold b' AND tags.team = 'red' AND tags.`x y` = ''", "name='gold b'", "NAME = 'gold b'", "name like 'gold b'", "   ",
        "tags.team = 'red' name = 'gold b'", "name = 'gold b', tags.team = 'red'", "name RLIKE 'gold'", "name = NULL", "name = true", "creation_time > 1e3 AND name = 'gold b'", "creation_time > -1 AND name = 'gold b'", "ünï = 'x'",
    ]),
    *each(ordered, ["name", "name ASC", "name DESC", "name desc", "experiment_id", "experiment_id DESC", "attribute.name DESC", "nonsense", "name UP", "name DESC extra", "tags.team", "", "`name`", "name, experiment_id", "lifecycle_stage",
                    "creation_time  ASC", "1", "metrics.a"]),
    ordered("name DESC", "name ASC"), ordered("name", "name"),
    get(AJAX + "experiments/search", {"max_results": 1, "view_type": "ALL", "order_by": "name"}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": []}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets"),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["987654321"]}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["x"]}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": "0"}),
    post("/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": ["1"] * 21}),
]
