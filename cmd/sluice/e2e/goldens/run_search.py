"""The search language on runs: entities, operators, quoting, order, pages."""

from goldens import Case, each, get, post


def run(name, start, **data):
    status = data.pop("status", "RUNNING")
    made = post("runs/create", {"experiment_id": "{s}", "run_name": name, "start_time": start, "user_id": data.pop("user", ""), "tags": data.pop("tags", [])}, keep={f"s{start}": "run.info.run_id"})
    fill = post("runs/log-batch", {"run_id": "{s%d}" % start, "metrics": [{"key": k, "value": v, "timestamp": 1, "step": 0} for k, v in data.pop("metrics", {}).items()],
                                   "params": [{"key": k, "value": v} for k, v in data.pop("params", {}).items()]})
    return [made, fill, post("runs/update", {"run_id": "{s%d}" % start, "status": status, "end_time": 100 + start})]


def search(**body):
    return post("runs/search", {"experiment_ids": ["{s}"], "max_results": 10} | body)


def filtered(text, **kw):
    return Case("POST", "runs/search", {"experiment_ids": ["{s}"], "filter": text}, **kw)


def ordered(*by, **kw):
    return Case("POST", "runs/search", {"experiment_ids": ["{s}"], "order_by": list(by)}, **kw)


FILTERS = [
    "metrics.a > 1", "metric.a >= 1", "metrics.a < 2", "metrics.a <= 1", "metrics.a = 1", "metrics.a != 1", "metrics.a == 1", "metrics.a = 1.0", "metrics.a > -1e3", "metrics.a > +1", "metrics.a > .5", "metrics.a > 1.", "metrics.a > '1'",
    "metrics.a > \"1\"", "metrics.a LIKE '1'", "metrics.a IN (1)", "metrics.a IS NULL", "metrics.a IS NOT NULL", "metrics.a > b", "metrics.a > params.a", "metrics.a", "metrics.a >", "metrics.", "metrics > 1", "metrics.`loss/train` < 2",
    "metrics.\"loss/train\" < 2", "metrics.loss/train < 2", "metrics.'loss/train' < 2", "metrics.nan = 0", "metrics.nan > 5", "metrics.nan = 'NaN'", "metrics.inf > 1e300", "metrics.none > 0", "metrics.a > 1 AND metrics.a < 5",
    "params.a = '1'", "param.a = '1'", "parameter.a = '1'", "parameters.a = '1'", "params.a = \"1\"", "params.a = 1", "params.a = one", "params.a = `1`", "params.a != '1'", "params.a > '1'", "params.a LIKE '1%'", "params.a ILIKE 'T%'",
    "params.a like 't%'", "params.a IN ('1')", "params.a NOT IN ('1')", "params.a IS NULL", "params.a IS NOT NULL", "params.a = ''", "params.a = 'it''s'", "params.a = 'it\\'s'", "params.a = \"it's\"", "params.a = 'ünï'", "params.a = 'a b'",
    "params.a = '%'", "params.a LIKE '%'", "params.a LIKE '_'", "params.a LIKE ''", "params.`x y` = 'z'", "params.\"x y\" = 'z'", "params.x y = 'z'", "params.a = NULL", "params.a = true", "params.a RLIKE '1'", "params.a NOT LIKE '1'",
    "tags.a = '1'", "tag.a = '1'", "tags.a != '1'", "tags.a LIKE '1%'", "tags.a IS NULL", "tags.a IS NOT NULL", "tags.a is null", "tags.a IN ('1')", "tags.mlflow.runName = 'alpha'", "tags.`mlflow.runName` = 'alpha'", "tags.\"mlflow.runName\" = 'alpha'",
    "tags.a = 1", "tags.`a` ILIKE '%'", "tags.'a' = '1'",
    "attributes.status = 'FINISHED'", "attribute.status = 'FINISHED'", "attr.status = 'FINISHED'", "run.status = 'FINISHED'", "status = 'FINISHED'", "status = 'finished'", "status != 'FINISHED'", "status LIKE 'FIN%'", "status ILIKE 'fin%'", "status > 'A'",
    "status IN ('FINISHED')", "status = NONSENSE", "status = 'NONSENSE'", "Status = 'FINISHED'", "run_name = 'alpha'", "run_name LIKE 'a%'", "run_name != 'alpha'", "`run name` = 'alpha'", "\"run name\" = 'alpha'", "`Run name` = 'alpha'", "`Run Name` = 'alpha'",
    "run name = 'alpha'", "run_name IN ('alpha')", "run_name > 'a'", "attributes.`Run name` = 'beta'", "user_id = 'ada'", "User = 'ada'", "user = 'ada'", "attributes.User = 'ada'", "source = 'x'", "source_name = 'x'", "source_type = 'x'", "attributes.source_type = 'x'",
    "start_time > 1", "start_time = 1", "start_time != 1", "start_time = '1'", "start_time LIKE '1'", "created > 1", "Created > 1", "Start_time > 1", "attributes.start_time >= 2", "end_time <= 102", "end_time = 'x'", "duration > 1", "start_time > 1.5", "start_time > -1",
    "run_id = '{s1}'", "run_id != '{s1}'", "run_id IN ('{s1}', '{s2}')", "run_id IN ('{s1}')", "run_id NOT IN ('{s1}')", "run_id IN ()", "run_id IN ('')", "run_id IN ({s1})", "run_id IN '{s1}'", "run_id IN (1)", "run_id IN ('a' 'b')", "run_id IN ('a',)", "run_id LIKE '%'",
    "run_uuid = '{s1}'", "attributes.run_id IN ('{s1}')", "run_id in ('{s1}')", "artifact_uri LIKE '%artifacts'", "artifact_uri = 'x'", "lifecycle_stage = 'active'", "experiment_id = '1'", "attributes.nonsense = 'x'", "nonsense = 'x'", "nonsense.a = 'x'",
    "datasets.name = 'd'", "dataset.name = 'd'", "datasets.digest != '1'", "datasets.context = 'train'", "datasets.name LIKE 'd%'", "datasets.name ILIKE 'D%'", "datasets.name IN ('d', 'e')", "datasets.name NOT IN ('d')", "datasets.nonsense = 'x'", "datasets.name > 'a'",
    "datasets.name = 1", "datasets.name IS NULL", "dataset.profile = 'p'",
    "metrics.a > 0 OR metrics.a < 0", "metrics.a > 0 or metrics.a < 0", "NOT metrics.a > 1", "(metrics.a > 1)", "(metrics.a > 1) AND (params.a = '1')", "metrics.a > 0 AND", "AND metrics.a > 0", "metrics.a > 0 AND AND metrics.b > 0", "metrics.a > 0, metrics.b > 0",
    "metrics.a > 0 metrics.b > 0", "metrics.a > 0;", "metrics.a > 0; metrics.b > 0", "metrics.a BETWEEN 1 AND 2", "> 1", "1 < metrics.a", "'a' = 'a'", "a", "metrics.a > 0 -- c", "metrics.a > 0 # c", "metrics.a /* c */ > 0", "params.a = 'unclosed", "params.a = \"unclosed",
    "metrics.`a > 1", "metrics.a >> 1", "metrics.a => 1", "metrics.a <> 1", "metrics.a ! = 1", "metrics.a>1", "metrics.a>1 AND params.a='1'", "\tmetrics.a\n>\r1 ", "METRICS.a > 1", "Metrics.a > 1", "metrics.A > 1", "metrics .a > 1", "metrics. a > 1", "metrics.a.b > 1",
    "params.a = '1' and tags.a = '1'", "params.a = 'x AND y'", "params.a = 'x = y'", "params.a = \"x ' y\"", "params.a = '' AND tags.a IS NULL", "metrics.a > 1e", "metrics.a > 0x10", "metrics.a > 1_000", "metrics.a > inf", "metrics.a > NaN", "metrics.a > -", "metrics.a > - 1",
    "ünï = 'x'", "params.ünï = 'x'", "日本", "\u0000", "metrics.a > 0 AND " * 300 + "metrics.a > 0", "params.a = '" + "x" * 20000 + "'", "select 1", "1=1", "params.a = '1' UNION SELECT 1", "start_time", "''", "()", "*", "metrics.* > 1",
]
ORDERS = ["metrics.a", "metrics.a ASC", "metrics.a DESC", "metrics.a desc", "metrics.a asc", "metric.a", "metrics.nan", "metrics.`loss/train` DESC", "metrics.none", "params.a", "params.a DESC", "parameter.a", "tags.a", "tags.a DESC", "tags.`mlflow.runName`", "start_time", "start_time DESC",
          "attributes.start_time", "attribute.start_time ASC", "created DESC", "Created", "end_time", "status", "run_name", "run_name DESC", "`run name`", "Run name", "run name", "user_id", "lifecycle_stage", "source", "nonsense", "attributes.nonsense", "nonsense.a", "metrics.a NOPE",
          "metrics.a DESC ASC", "metrics.a, params.a", "metrics", "metrics.", ".a", "", " ", "1", "datasets.name", "metrics.a > 1", "'start_time'", "start_time;", "metrics.\"a\" DESC", "-start_time", "metrics.a DESC NULLS LAST", "ünï", "duration", "params.`x y`", "  start_time   DESC  "]

CASES = [
    post("experiments/create", {"name": "run search"}, keep={"s": "experiment_id"}),
    *run("alpha", 1, metrics={"a": 1, "loss/train": 0.5, "nan": "NaN"}, params={"a": "1", "x y": "z"}, tags=[{"key": "a", "value": "1"}], user="ada", status="FINISHED"),
    *run("beta", 2, metrics={"a": 2, "inf": "Infinity"}, params={"a": "two"}, tags=[{"key": "a", "value": "2"}], user="bob"),
    *run("gamma", 3, metrics={"loss/train": 3}, params={"a": ""}, status="FAILED"),
    *run("delta", 4, metrics={"a": -1}, params={"a": "it's"}),
    post("runs/log-inputs", {"run_id": "{s1}", "datasets": [{"dataset": {"name": "d", "digest": "1", "source_type": "l", "source": "s"}, "tags": [{"key": "mlflow.data.context", "value": "train"}]}]}),
    post("runs/delete", {"run_id": "{s4}"}),
    search(), search(run_view_type="ALL"), search(run_view_type="DELETED_ONLY"), search(experiment_ids=[]), search(experiment_ids=["987654321"]), search(experiment_ids=["x"]), search(experiment_ids=["{s}", "{s}"]), search(experiment_ids=[""]),
    post("runs/search"), get("runs/search", {"experiment_ids": "{s}"}), search(filter=""), search(filter=None), search(order_by=[]),
    *each(filtered, FILTERS), *each(ordered, ORDERS), ordered("metrics.a", "metrics.a"), ordered("start_time", "start_time DESC"), ordered("metrics.a DESC", "params.a ASC", "tags.a"), ordered("start_time", "attributes.start_time"), ordered("created", "start_time"),
    search(max_results=1), search(max_results=3), search(max_results=50000),
    *each(lambda t: search(page_token=t), ["x", "bm9wZQ==", "eyJvZmZzZXQiOiAieCJ9", "W10=", "eyJvZmZzZXQiOiA5OTk5OTk5OTk5OTk5OTk5OTk5OTk5fQ==", "ü", "a" * 10000]),
]
