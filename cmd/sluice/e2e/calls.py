"""Generates sequences of REST calls for test_differential.py: seeded, stateful, with a share of calls that are wrong on purpose.

A call is (method, path, body). In paths and bodies a string `{run3}` stands for an id that a server chose for the third run; each
server has its own, so the same sequence is sent to both with the ids that they gave.
"""

import random

API = "/api/2.0/mlflow/"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"

KEYS = ["a", "b", "loss/train", "x y", "k.1-2:3", "mlflow.note.content", "mlflow.runName", "", "a" * 250, "a" * 251, "../up", "a//b", "/abs", "bad#key", "ü"]
VALUES = ["1", "", "two words", "x" * 500, "x" * 501, "x" * 6001, "ü€", "None", "true"]
NUMBERS = [0, 1, -1.5, 1e300, "NaN", "Infinity", "-Infinity", "0.25", True, "abc", None, 3]
TIMES = [0, 1, 17, 1700000000000, "5", -1, "x", 1.0]
STEPS = [0, 1, 2, -1, "3", 1.0, 2**40]
STAGES = ["Production", "staging", "Archived", "None", "nonsense", ""]
NAMES = ["alpha", "Beta", "gamma ray", "delta-1", "epsilon/x", "zeta:y", "", "  ", "n" * 300, "ünï", "eta'quote", 'theta"']
WRONG = ["", "x", "0", "99999999", "deadbeef" * 4]
# Only in calls that change nothing: MLflow drops a field of the wrong type, with all that come after it, and goes on; we refuse.
WRONG_TYPES = [None, 0, 12, -1, [], {}, 1.5]
LIMITS = [1, 2, 3, 100, 0, -1, "2", "x", 50001, 1000000]
PAGES = ["", "x", "bm9wZQ=="]  # a whole token of MLflow's is foreign to us, and ours to it

RUN_FILTERS = [
    "", "metrics.a > 0", "metrics.a >= 1 and params.b = '1'", "metrics.`loss/train` < 2", "metric.a = 0", "metrics.a != 1", "metrics.a = '1'", "params.a = 1",
    "params.a LIKE '%w%'", "params.a ILIKE 'TWO%'", "params.a != ''", "tags.a = '1'", "tags.`x y` LIKE '%'", 'tags."k.1-2:3" = "1"', "tag.a IS NULL", "tags.a IS NOT NULL",
    "attributes.status = 'RUNNING'", "status != 'FINISHED'", "status = 'running'", "run_name = 'first'", "`run name` LIKE 'f%'", "attributes.start_time > 5", "start_time <= 17",
    "end_time = 0", "created > 1", "run_id IN ('{run1}','{run2}')", "run_id NOT IN ('{run1}')", "run_id = '{run1}'", "run_id LIKE '{run1}%'", "user_id = 'u'", "artifact_uri LIKE '%artifacts'",
    "datasets.name = 'd'", "dataset.digest LIKE '1%'", "datasets.context = 'train'", "datasets.name IN ('d','e')", "metrics.a > 0 OR metrics.a < 0", "metrics.a", "metrics.a >", "> 1",
    "nonsense.a = 1", "attributes.nonsense = 'x'", "status > 'A'", "start_time = 'x'", "params.a = 'it''s'", "params.a = \"quoted\"", "metrics.a > 0 AND", "metrics.a > -0.5e1", "run_id IN ()",
    "params.a IN ('1')", "tags.a = \"1\" AND tags.b = '2'", "metrics.a > 0;", "metrics.a BETWEEN 1 AND 2", "NOT metrics.a > 1", "(metrics.a > 1)", "params.a = 'x\\'y'", "attribute.run_id ILIKE '%'",
]
RUN_ORDERS = ["metrics.a", "metrics.a DESC", "params.a ASC", "tags.a", "start_time", "attributes.start_time DESC", "status", "run_name desc", "end_time", "`run name`", "nonsense",
              "metrics.a NOPE", "metrics.`loss/train` DESC", "params.'x y'", "", "datasets.name", "created", "user_id ASC", "metrics.a, params.a"]
EXPERIMENT_FILTERS = ["", "name = 'alpha'", "name LIKE '%a%'", "name ILIKE 'BETA'", "name != 'alpha'", "tags.a = '1'", "tags.`x y` != '1'", "tag.a LIKE '%'", "tags.a IS NULL", "tags.a IS NOT NULL",
                      "creation_time > 0", "last_update_time >= 5", "creation_time = 'x'", "name > 'a'", "nonsense = 1", "attribute.name = 'alpha'", "name = alpha", "name IN ('alpha')", "name", "experiment_id = '1'",
                      "name = 'alpha' AND tags.a = '1'", "name = 'alpha' OR name = 'Beta'"]
EXPERIMENT_ORDERS = ["name", "name DESC", "experiment_id", "experiment_id DESC", "creation_time", "last_update_time DESC", "nonsense", "name UP", "attribute.name ASC", ""]
MODEL_FILTERS = ["", "name = 'alpha'", "name LIKE '%a%'", "name ILIKE '%BETA%'", "name != 'alpha'", "tags.a = '1'", "tags.a != '1'", "tags.`x y` LIKE '%'", "tag.a ILIKE '%'", "name > 'a'", "nonsense = 'x'",
                 "name = 'alpha' AND tags.a = '1'", "name = 'a' OR name = 'b'", "name IN ('alpha')", "tags.a IS NULL", "name", "attribute.name = 'alpha'", "tags.mlflow.prompt.is_prompt = 'true'",
                 "tags.`mlflow.prompt.is_prompt` = 'true'", "tags.`mlflow.prompt.is_prompt` = 'false'", "tags.`mlflow.prompt.is_prompt` != 'true'"]
MODEL_ORDERS = ["name", "name DESC", "timestamp", "last_updated_timestamp DESC", "creation_timestamp", "nonsense", "timestamp ASC, name", ""]
VERSION_FILTERS = ["", "name = 'alpha'", "name LIKE '%a%'", "run_id = '{run1}'", "run_id IN ('{run1}','{run2}')", "run_id NOT IN ('x')", "source_path = 's3://b/x'", "source_path LIKE 's3%'", "version_number = 1", "version_number > 1",
                   "version_number >= 1 AND name = 'alpha'", "version_number = '1'", "tags.a = '1'", "tags.a != '1'", "version = 1", "nonsense = 1", "current_stage = 'None'", "name IN ('alpha')", "run_id IN ()", "name", "name = alpha",
                   "tags.`x y` ILIKE '%'", "aliases = 'x'"]
VERSION_ORDERS = ["name", "name DESC", "version_number", "version_number DESC", "creation_timestamp", "last_updated_timestamp DESC", "timestamp", "nonsense", ""]
LOGGED_FILTERS = ["", "name = 'm'", "name LIKE '%m%'", "attributes.name = 'm'", "status = 'READY'", "model_type = 't'", "source_run_id = '{run1}'", "params.a = '1'", "tags.a = '1'", "tags.`x y` LIKE '%'", "metrics.a > 0",
                  "creation_timestamp > 0", "attributes.nonsense = 1", "name > 'a'", "name IN ('m','n')", "model_id = '{model1}'", "metrics.a > 0 OR metrics.a < 0", "tags.a != '1'", "params.a ILIKE '%'"]
ALIASES = ["champion", "Champion", "latest", "v1", "V12", "a b", "x" * 256, "", "a.b", "under_score-1"]
SOURCES = ["s3://b/x", "s3://b/y/../z", "dbfs:/a/b", "runs:/{run1}/model", "models:/{model1}", "models:/alpha/1", "models:/alpha@champion", "models:/alpha/Production", "models:/none/1", "/etc/passwd", "file:///etc",
           "mlflow-artifacts:/1/{run1}/artifacts/model", "{artifacts1}/model", "{artifacts2}/x", "http://elsewhere/x", "gs://b/%2e%2e/x", "", "wasbs://c@h/x", "s3://b", "models:/", "dummy-source"]
FILES = ["a.txt", "dir/b.txt", "dir/sub/c.bin", "../up.txt", "%2e%2e/up.txt", "with space.txt", "100%25.txt", "dir//d.txt", "./e.txt", "ünï.txt", "a#b.txt", "C:/x.txt", "none/there.txt"]


# What filters are made from: (fields, operators, values) that go together, mostly.
NUMBER_TEXTS = ["0", "1", "-1.5", "2", "1e3", "0.25", "-0", "1.7976931348623157e308"]
TEXTS = ["'1'", "\"two words\"", "'true'", "''", "'%'", "'%o%'", "'T%'", "'_'", "'None'", "'alpha'", "'x%y'"]
TEXT_OPERATORS, NUMBER_OPERATORS = ["=", "!=", "LIKE", "ILIKE"], ["=", "!=", "<", "<=", ">", ">="]
CLAUSES = {
    "runs": [
        (["metrics.a", "metric.b", "metrics.`loss/train`", "metrics.'x y'", "metrics.none"], NUMBER_OPERATORS, NUMBER_TEXTS),
        (["params.a", "param.b", "parameters.`x y`", "tags.a", "tag.b", "tags.`loss/train`", "params.\"k.1-2:3\"", "tags.'x y'", "params.'a'"], TEXT_OPERATORS, TEXTS),
        (["attributes.start_time", "end_time", "start_time", "created"], NUMBER_OPERATORS, ["0", "1", "17", "500000000000"]),
        (["run_name", "attributes.status", "user_id", "artifact_uri", "`run name`"], TEXT_OPERATORS, ["'first'", "'RUNNING'", "'%i%'", "'FINISHED'", "'u'", "'renamed'"]),
        (["run_id"], ["IN", "NOT IN"], ["('{run1}')", "('{run1}', '{run2}')", "(\"{run3}\",)"]),
        (["datasets.name", "dataset.digest", "datasets.context"], [*TEXT_OPERATORS, "IN", "NOT IN"], ["'d'", "'1'", "'train'", "('d', 'e')", "('1')"]),
        (["tags.a", "params.a", "tags.`x y`"], ["IS NULL", "IS NOT NULL"], [""]),
    ],
    "experiments": [
        (["name", "attribute.name"], [*TEXT_OPERATORS], ["'alpha'", "'%a%'", "'E0%'", "'Beta'"]), (["tags.a", "tag.'b'", "tags.`x y`"], TEXT_OPERATORS, TEXTS),
        (["creation_time", "last_update_time"], NUMBER_OPERATORS, ["0", "5", "99999999999999"]), (["tags.a", "tags.none"], ["IS NULL", "IS NOT NULL"], [""]),
    ],
    "registered": [(["name"], TEXT_OPERATORS, ["'alpha'", "'%a%'", "'GAMMA%'"]), (["tags.a", "tag.'b'", "tags.`x y`"], TEXT_OPERATORS, TEXTS)],
    "versions": [
        (["name"], TEXT_OPERATORS, ["'alpha'", "'%a%'"]), (["version_number"], NUMBER_OPERATORS, ["0", "1", "2", "99"]), (["source_path"], TEXT_OPERATORS, ["'s3://b/x'", "'%b%'"]),
        (["run_id"], ["=", "!=", "IN"], ["'{run1}'", "('{run1}')", "('{run1}', 'x')"]), (["tags.a", "tags.`x y`"], TEXT_OPERATORS, TEXTS),
    ],
    "logged": [
        (["name", "attributes.model_type", "status", "source_run_id"], TEXT_OPERATORS, ["'m'", "'t'", "'READY'", "'{run1}'", "'%n%'"]), (["metrics.a", "metrics.b"], NUMBER_OPERATORS, NUMBER_TEXTS[:5]),
        (["params.a", "tags.'a'", "tags.`x y`", "params.b"], TEXT_OPERATORS, TEXTS), (["creation_timestamp", "last_updated_timestamp"], NUMBER_OPERATORS, ["0", "99999999999999"]),
    ],
    "traces": [
        (["status", "attributes.name", "client_request_id", "trace.status"], [*TEXT_OPERATORS, "RLIKE"], ["'OK'", "'ERROR'", "'answer'", "'a%'", "'^a'", "'c1'"]), (["timestamp", "execution_time_ms", "timestamp_ms"], NUMBER_OPERATORS, ["0", "1500", "1704067203000"]),
        (["tags.a", "metadata.m", "tag.'b'"], [*TEXT_OPERATORS, "RLIKE"], [*TEXTS, "'^t'"]), (["tags.a", "metadata.m", "feedback.quality"], ["IS NULL", "IS NOT NULL"], [""]), (["status", "request_id"], ["IN", "NOT IN"], ["('OK', 'ERROR')", "('{trace1}')"]),
        (["feedback.quality"], NUMBER_OPERATORS, ["0.5", "'yes'", "1"]), (["run_id"], ["=", "IN"], ["'{run1}'", "('{run1}', '{run2}')"]),
    ],
}
TRACE_STATES = ["OK", "ERROR", "IN_PROGRESS", "OK"]


class Generator:
    """An endless, reproducible stream of calls; count tells how many ids of a kind the servers have given so far. After a page with a
    token the next call mostly asks for the page behind it: `{page}` stands for the token, of which each server has its own."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.count = {"run": 0, "exp": 0, "model": 0, "trace": 0, "assessment": 0}
        self.paged = None  # the call that the page token belongs to

    def more(self, call):
        """Says that the call's answers had a page token."""
        self.paged = call

    def made_filter(self, kind):
        """A filter of one to three clauses that go together, mostly."""
        clauses = []
        for _ in range(self.random.randint(1, 3)):
            fields, operators, values = self.pick(CLAUSES[kind])
            if self.chance(0.06):
                operators = self.pick(CLAUSES[kind])[1]
            if self.chance(0.04):
                values = self.pick(CLAUSES[kind])[2]
            clauses.append(" ".join(filter(None, [self.pick(fields), self.pick(operators), self.pick(values)])))
        return self.pick([" AND ", " AND ", " and ", "  AND "]).join(clauses)

    def made(self, kind):
        self.count[kind] += 1
        return f"{kind}{self.count[kind]}"

    def pick(self, values):
        return self.random.choice(values)

    def chance(self, share):
        return self.random.random() < share

    def ref(self, kind):
        """An id that exists, mostly; the newest ones more often, so that calls meet."""
        n = self.count[kind]
        if n == 0 or self.chance(0.03):
            return self.pick(["", "nope", "123456", "f" * 32])
        low = max(1, n - 3) if self.chance(0.7) else 1
        return "{%s%d}" % (kind, self.random.randint(low, n))

    def place(self, kind):
        """The same for a path, which has no room for an empty id."""
        return self.ref(kind) or "nope"

    def tags(self):
        """Tags for something new: each key once, and none that only a database's column would refuse."""
        return list({t["key"]: t for t in self.some(lambda: {"key": self.pick(KEYS[:6]), "value": self.value()})}.values())

    def run(self):
        return self.ref("run")

    def exp(self):
        return self.ref("exp")

    def model(self):
        return self.ref("model")

    def key(self):
        return self.pick(KEYS[:5]) if self.chance(0.8) else self.pick(KEYS)

    def value(self):
        return self.pick(VALUES[:3]) if self.chance(0.8) else self.pick(VALUES)

    def name(self):
        return self.pick(NAMES[:4]) if self.chance(0.8) else self.pick(NAMES)

    def pair(self):
        return {"key": self.key(), "value": self.value()}

    def some(self, make, most=3):
        return [make() for _ in range(self.random.randint(0, most))]

    def version(self):
        return self.pick(["1", "1", "2", "2", "3", "4", 1, "0", "x", "99", "-1", "1.0"])

    def metric(self):
        m = {"key": self.key(), "value": self.pick(NUMBERS[:4]), "timestamp": self.pick(TIMES[:4]), "step": self.pick(STEPS[:4])}
        if self.chance(0.15):
            field, values = self.pick([("value", NUMBERS), ("timestamp", TIMES), ("step", STEPS)])
            m[field] = self.pick(values)
        return m

    def page(self, body, share=0.5):
        if self.chance(share):
            body["max_results"] = self.pick(LIMITS[:4]) if self.chance(0.7) else self.pick(LIMITS)
        if self.chance(0.08):
            body["page_token"] = self.pick(PAGES)
        return body

    def searching(self, filters, orders, kind=None, **body):
        if self.chance(0.85):
            body["filter"] = self.made_filter(kind) if kind and self.chance(0.5) else self.pick(filters)
        if self.chance(0.5):
            body["order_by"] = [self.pick(orders) for _ in range(self.random.randint(0, 2))]
        return self.page(body)

    def spoil(self, body, wrong=WRONG):
        """Leaves a field out, or gives it a value that it cannot have."""
        if not body or not self.chance(0.12):
            return body
        field = self.pick(sorted(f for f in body if (f, "params" in body or "status" in body) != ("model_id", True)))
        body = dict(body)
        if self.chance(0.4) or isinstance(body[field], list) or field == "status":
            del body[field]
        else:
            body[field] = self.pick(wrong)
        return body

    def call(self):
        paged, self.paged = self.paged, None
        if paged and self.chance(0.8):
            method, path, body = paged
            return method, path, body | {"page_token": "{page}"}
        kind = self.random.choices(list(CALLS), weights=[w for w, _ in CALLS.values()])[0]
        method, path, body = CALLS[kind][1](self)
        if isinstance(body, dict):
            body = self.spoil(body, WRONG + WRONG_TYPES if method == "GET" or path.endswith("search") else WRONG)
        return method, path if path.startswith("/") else API + path, body


def run_filter(g):
    return g.searching(RUN_FILTERS, RUN_ORDERS, "runs", experiment_ids=[g.exp() for _ in range(g.random.randint(1, 2))],
                       run_view_type=g.pick(["ACTIVE_ONLY", "ALL", "DELETED_ONLY", "ALL"]))


def with_optional(g, body, **optional):
    for field, make in optional.items():
        if g.chance(0.4):
            body[field] = make()
    return body


def trace(g):
    """A trace by the caller's id, the times of all of them apart."""
    number = g.random.getrandbits(128)
    return {"trace": {"trace_info": with_optional(
        g, {"trace_id": f"tr-{number:032x}", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": g.exp()}},
            "request_time": f"2024-01-01T00:{g.random.randrange(60):02d}:{g.random.randrange(60):02d}.{g.random.randrange(1000):03d}Z", "state": g.pick(TRACE_STATES)},
        execution_duration=lambda: g.pick(["1.5s", "0s", "0.001s", "3600s"]), tags=lambda: {"mlflow.traceName": g.pick(["answer", "ask"]), "a": g.value()}, trace_metadata=lambda: {"m": g.value()},
        request_preview=lambda: "in", response_preview=lambda: "out", client_request_id=lambda: g.pick(["c1", "c2"]))}}


def assessment(g, trace):
    value = g.pick([{"feedback": {"value": g.pick([0.25, 1, "yes", True, None])}}, {"expectation": {"value": g.pick([1.5, "red", False])}}])
    return {"assessment": {"assessment_name": g.pick(["quality", "polite"]), "trace_id": trace, "source": {"source_type": g.pick(["HUMAN", "LLM_JUDGE", "CODE"]), "source_id": "ada"}} | value}


def locations(g):
    return [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": g.exp()}} for _ in range(g.random.randint(1, 2))]


T = "/api/3.0/mlflow/traces"
TRACE_ORDERS = ["timestamp", "timestamp DESC", "timestamp_ms ASC", "execution_time DESC", "status", "name", "name DESC", "request_id", "nonsense", "tags.a", "timestamp NOPE", "experiment_id"]
TRACE_FILTERS = ["", "status = 'OK'", "name = 'answer'", "nonsense = 'x'", "tags.a = '1' AND status = 'OK'", "timestamp > 0", "metadata.m LIKE '%'", "feedback.quality = 'yes'", "status = 'OK' OR status = 'ERROR'", "span.name = 'x'", "tags.a"]

CALLS = {
    "traces/start": (3, lambda g: ("POST", T, trace(g))),
    "traces/get": (1, lambda g: ("GET", f"{T}/{g.place('trace')}", {})),
    "traces/infos": (0.5, lambda g: ("POST", T + "/batchGetInfos", {"trace_ids": [g.ref("trace"), g.ref("trace")]})),
    "traces/tag": (1, lambda g: ("PATCH", f"{T}/{g.place('trace')}/tags", g.pair())),
    "traces/delete-tag": (0.5, lambda g: ("DELETE", f"{T}/{g.place('trace')}/tags", {"key": g.key()})),
    "traces/search": (4, lambda g: ("POST", T + "/search", g.searching(TRACE_FILTERS, TRACE_ORDERS, "traces", locations=locations(g)))),
    "traces/link": (0.7, lambda g: ("POST", "traces/link-to-run", {"trace_ids": [g.ref("trace"), g.ref("trace")], "run_id": g.run()})),
    "traces/delete": (0.3, lambda g: ("POST", T + "/delete-traces", {"experiment_id": g.exp(), "request_ids": [g.ref("trace")]})),
    "assessments/create": (1.5, lambda g: ("POST", f"{T}/{(t := g.place('trace'))}/assessments", assessment(g, t))),
    "assessments/get": (0.5, lambda g: ("GET", f"{T}/{g.place('trace')}/assessments/{g.place('assessment')}", {})),
    "assessments/delete": (0.3, lambda g: ("DELETE", f"{T}/{g.place('trace')}/assessments/{g.place('assessment')}", {})),
    "experiments/create": (3, lambda g: ("POST", "experiments/create", with_optional(
        g, {"name": g.name() if g.chance(0.3) else f"e{g.random.random()}"}, tags=g.tags, artifact_location=lambda: g.pick(["", "s3://b/e", "runs:/x/y", "s3://b/#f"])))),
    "experiments/get": (2, lambda g: ("GET", "experiments/get", {"experiment_id": g.exp()})),
    "experiments/get-by-name": (2, lambda g: ("GET", "experiments/get-by-name", {"experiment_name": g.name()})),
    "experiments/search": (3, lambda g: (g.pick(["POST", "GET"]), "experiments/search", g.page(g.searching(
        EXPERIMENT_FILTERS, EXPERIMENT_ORDERS, "experiments", max_results=g.pick([1, 3, 500]), view_type=g.pick(["ACTIVE_ONLY", "ALL", "DELETED_ONLY"])), 0.2))),
    "experiments/update": (1, lambda g: ("POST", "experiments/update", {"experiment_id": g.exp(), "new_name": g.name()})),
    "experiments/delete": (0.7, lambda g: ("POST", "experiments/delete", {"experiment_id": g.exp()})),
    "experiments/restore": (1, lambda g: ("POST", "experiments/restore", {"experiment_id": g.exp()})),
    "experiments/set-experiment-tag": (2, lambda g: ("POST", "experiments/set-experiment-tag", {"experiment_id": g.exp(), **g.pair()})),
    "experiments/delete-experiment-tag": (1, lambda g: ("POST", "experiments/delete-experiment-tag", {"experiment_id": g.exp(), "key": g.key()})),
    "experiments/search-datasets": (1, lambda g: ("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets", {"experiment_ids": [g.exp()]})),
    "runs/create": (5, lambda g: ("POST", "runs/create", with_optional(
        g, {"experiment_id": g.exp(), "start_time": g.random.randrange(1, 10**12), "run_name": g.pick(["first", "second", "third one"])}, user_id=lambda: "u", tags=g.tags))),
    "runs/get": (4, lambda g: ("GET", "runs/get", {g.pick(["run_id", "run_id", "run_uuid"]): g.run()})),
    "runs/update": (2, lambda g: ("POST", "runs/update", with_optional(
        g, {"run_id": g.run()}, status=lambda: g.pick(["FINISHED", "FAILED", "RUNNING", 3]), end_time=lambda: g.pick(TIMES), run_name=lambda: g.pick(["first", "renamed", ""])))),
    "runs/delete": (0.7, lambda g: ("POST", "runs/delete", {"run_id": g.run()})),
    "runs/restore": (0.7, lambda g: ("POST", "runs/restore", {"run_id": g.run()})),
    "runs/search": (8, lambda g: ("POST", "runs/search", run_filter(g))),
    "runs/log-metric": (4, lambda g: ("POST", "runs/log-metric", {"run_id": g.run(), **g.metric()})),
    "runs/log-parameter": (4, lambda g: ("POST", "runs/log-parameter", {"run_id": g.run(), **g.pair()})),
    "runs/set-tag": (4, lambda g: ("POST", "runs/set-tag", {"run_id": g.run(), **g.pair()})),
    "runs/delete-tag": (1, lambda g: ("POST", "runs/delete-tag", {"run_id": g.run(), "key": g.key()})),
    "runs/log-batch": (5, lambda g: ("POST", "runs/log-batch", {"run_id": g.run(), "metrics": g.some(g.metric), "params": g.some(g.pair), "tags": g.some(g.pair)})),
    "runs/log-inputs": (2, lambda g: ("POST", "runs/log-inputs", {"run_id": g.run(), "datasets": g.some(lambda: {
        "dataset": {"name": g.pick("de"), "digest": g.pick("12"), "source_type": "local", "source": "{}", "schema": "s", "profile": "p"},
        "tags": g.some(lambda: {"key": "mlflow.data.context", "value": g.pick(["train", "eval"])}, 1)}, 2)})),
    "runs/outputs": (1, lambda g: ("POST", "runs/outputs", {"run_id": g.run(), "models": [{"model_id": g.model(), "step": g.pick(STEPS[:4])}]})),
    "metrics/get-history": (2, lambda g: ("GET", "metrics/get-history", g.page({"run_id": g.run(), "metric_key": g.key(), "max_results": 25000}, 0.3))),
    "metrics/get-history-bulk": (1, lambda g: ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk", {"run_id": [g.run(), g.run()], "metric_key": g.key()})),
    "metrics/get-history-bulk-interval": (1, lambda g: ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", with_optional(
        g, {"run_ids": [g.run()], "metric_key": g.key(), "max_results": g.pick([1, 2, 3, 2500, 0, 2501])}, start_step=lambda: g.pick([0, 1, 3]), end_step=lambda: g.pick([0, 2, 5])))),
    "artifacts/list": (1, lambda g: ("GET", "artifacts/list", with_optional(g, {"run_id": g.run()}, path=lambda: g.pick(["dir", "../x", "", "none", "/"])))),
    "artifacts/put": (2, lambda g: ("PUT", f"{PROXY}/{g.place('exp')}/{g.place('run')}/artifacts/" + g.pick(FILES), b"bytes" * g.random.randint(0, 9))),
    "artifacts/get": (2, lambda g: ("GET", f"{PROXY}/{g.place('exp')}/{g.place('run')}/artifacts/" + g.pick(FILES), None)),
    "artifacts/proxy-list": (1, lambda g: ("GET", PROXY, {"path": g.pick([f"{g.exp()}/{g.run()}/artifacts", f"{g.exp()}/{g.run()}/artifacts/dir", "../x", "/etc", "none"])})),
    "artifacts/delete": (0.5, lambda g: ("DELETE", f"{PROXY}/{g.place('exp')}/{g.place('run')}/artifacts/" + g.pick(FILES), None)),
    "logged-models/create": (2, lambda g: ("POST", "logged-models", with_optional(
        g, {"experiment_id": g.exp(), "name": g.pick(["m", "n", "m/x", "m.y"])}, model_type=lambda: "t", source_run_id=g.run, params=g.tags, tags=g.tags))),
    "logged-models/get": (1, lambda g: ("GET", f"logged-models/{g.place('model')}", {})),
    "logged-models/finalize": (1, lambda g: ("PATCH", f"logged-models/{(m := g.place('model'))}", {"model_id": m, "status": g.pick(["LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED", 2])})),
    "logged-models/delete": (0.3, lambda g: ("DELETE", f"logged-models/{g.place('model')}", {})),
    "logged-models/tags": (1, lambda g: ("PATCH", f"logged-models/{g.place('model')}/tags", {"tags": g.some(g.pair)})),
    "logged-models/delete-tag": (0.5, lambda g: ("DELETE", f"logged-models/{g.place('model')}/tags/" + g.pick(["a", "b", "none"]), {})),
    "logged-models/params": (1, lambda g: ("POST", f"logged-models/{(m := g.place('model'))}/params", {"model_id": m, "params": g.tags()})),
    "logged-models/search": (3, lambda g: ("POST", "logged-models/search", g.page(with_optional(
        g, {"experiment_ids": [g.exp(), g.exp()]}, filter=lambda: g.made_filter("logged") if g.chance(0.5) else g.pick(LOGGED_FILTERS),
        order_by=lambda: [{"field_name": g.pick(["name", "attributes.name", "creation_timestamp", "metrics.a", "nonsense", ""]), "ascending": g.chance(0.5)}])))),
    "registered-models/create": (3, lambda g: ("POST", "registered-models/create", with_optional(g, {"name": g.name()}, description=g.value, tags=lambda: g.tags() if g.chance(0.85) else [{"key": "mlflow.prompt.is_prompt", "value": "true"}]))),
    "registered-models/rename": (0.5, lambda g: ("POST", "registered-models/rename", {"name": g.name(), "new_name": g.name()})),
    "registered-models/update": (1, lambda g: ("PATCH", "registered-models/update", {"name": g.name(), "description": g.value()})),
    "registered-models/delete": (0.4, lambda g: ("DELETE", "registered-models/delete", {"name": g.name()})),
    "registered-models/get": (2, lambda g: ("GET", "registered-models/get", {"name": g.name()})),
    "registered-models/search": (3, lambda g: ("GET", "registered-models/search", g.searching(MODEL_FILTERS, MODEL_ORDERS, "registered"))),
    "registered-models/get-latest-versions": (2, lambda g: (g.pick(["GET", "POST"]), "registered-models/get-latest-versions", {"name": g.name(), "stages": [g.pick(STAGES) for _ in range(g.random.randint(0, 2))]})),
    "registered-models/set-tag": (2, lambda g: ("POST", "registered-models/set-tag", {"name": g.name(), **g.pair()})),
    "registered-models/delete-tag": (1, lambda g: ("DELETE", "registered-models/delete-tag", {"name": g.name(), "key": g.key()})),
    "registered-models/alias-set": (2, lambda g: ("POST", "registered-models/alias", {"name": g.name(), "alias": g.pick(ALIASES[:2] if g.chance(0.6) else ALIASES), "version": g.version()})),
    "registered-models/alias-get": (2, lambda g: ("GET", "registered-models/alias", {"name": g.name(), "alias": g.pick(ALIASES)})),
    "registered-models/alias-delete": (1, lambda g: ("DELETE", "registered-models/alias", {"name": g.name(), "alias": g.pick(ALIASES)})),
    "model-versions/create": (6, lambda g: ("POST", "model-versions/create", with_optional(
        g, {"name": g.name(), "source": "s3://b/x" if g.chance(0.5) else g.pick(SOURCES)}, run_id=g.run, model_id=g.model, description=g.value, tags=g.tags, run_link=lambda: "http://link"))),
    "model-versions/get": (2, lambda g: ("GET", "model-versions/get", {"name": g.name(), "version": g.version()})),
    "model-versions/update": (1, lambda g: ("PATCH", "model-versions/update", {"name": g.name(), "version": g.version(), "description": g.value()})),
    "model-versions/delete": (0.5, lambda g: ("DELETE", "model-versions/delete", {"name": g.name(), "version": g.version()})),
    "model-versions/search": (3, lambda g: ("GET", "model-versions/search", g.searching(VERSION_FILTERS, VERSION_ORDERS, "versions"))),
    "model-versions/get-download-uri": (1, lambda g: ("GET", "model-versions/get-download-uri", {"name": g.name(), "version": g.version()})),
    "model-versions/transition-stage": (3, lambda g: ("POST", "model-versions/transition-stage", {
        "name": g.name(), "version": g.version(), "stage": g.pick(STAGES), "archive_existing_versions": g.pick([False, False, True, "true", "x"])})),
    "model-versions/set-tag": (2, lambda g: ("POST", "model-versions/set-tag", {"name": g.name(), "version": g.version(), **g.pair()})),
    "model-versions/delete-tag": (1, lambda g: ("DELETE", "model-versions/delete-tag", {"name": g.name(), "version": g.version(), "key": g.key()})),
}
