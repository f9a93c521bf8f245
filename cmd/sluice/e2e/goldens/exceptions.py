"""Where we answer otherwise than MLflow, on purpose: kinds of differences by name, each with its reason and with exactly what it allows."""

import json
import re
from urllib.parse import unquote

HINT = re.compile(r"^Invalid value .* for parameter '[^']+' supplied:  Hint: Value was of type '\w+'\. See the API docs for more information about request parameters\.$", re.DOTALL)
ODD_PATH = re.compile(r"\.\.|\\|[\x00-\x1f\x7f]|%|//|�|\./")


def said(answer):
    return answer.get("message", "")


def code(answer):
    return answer.get("error_code")


def refused(answer, *codes):
    """Whether an answer refuses in MLflow's shape; with codes, by one of these."""
    return isinstance(answer["status"], int) and 400 <= answer["status"] < 500 and bool(said(answer)) and (not codes or code(answer) in codes)


def invalid(answer, *beginnings):
    return refused(answer, "INVALID_PARAMETER_VALUE") and (not beginnings or said(answer).startswith(beginnings))


def field(case, name):
    return case.body.get(name) if isinstance(case.body, dict) else None


def odd_path(case):
    """Whether the request names a file by what is no plain path."""
    texts = [case.path.partition("/artifacts/")[2], case.path.partition("path=")[2], *(str(field(case, f) or "") for f in ("path", "artifact_file_path", "artifact_directory_path"))]
    return any(ODD_PATH.search(unquote(t)) or t.endswith("/..") for t in texts) or case.path.rstrip("/").endswith("/artifacts")


def limit(case):
    """max_results as a number, None without one."""
    text = str(field(case, "max_results"))
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def told_prefix(want, got):
    return (want["status"], code(want)) == (got["status"], code(got)) and said(want).startswith(said(got).rstrip("."))


FINE_HERE = ["name = first", "last_updated_time >= 0", "name like 'gold b'", ["  start_time   DESC  "], "`name`", " 0", "text LIKE '%in%'"]
SQL_WORDS = ("Invalid clause(s) in filter string: ", "Invalid comparison clause. ", "Invalid entity type ", "Invalid order_by clause ")

# name: (reason, what is allowed of (case, MLflow's answer, ours))
RULES = {
    "fails": (
        "MLflow answers 500 (or 503) to a mistake of the client, who would try it again and again",
        lambda case, want, got: want["status"] in (500, 503, "connection closed") and refused(got)),
    "null is absence": (
        "MLflow fails on null where a number could be; it is as good as nothing",
        lambda case, want, got: want["status"] == 500 and got["status"] == 200 and isinstance(case.body, dict) and None in case.body.values()),
    "order by end_time": (
        "MLflow fails on a column that traces do not have; they are ordered by their end",
        lambda case, want, got: want["status"] == 500 and got["status"] == 200 and field(case, "order_by") == ["end_time"]),
    "pages": (
        "MLflow's answer is an HTML page or nothing where a route or a file is unknown or a parameter is missing; ours is JSON",
        lambda case, want, got: list(want) == ["status"] and want["status"] == got["status"] and refused(got)),
    "another framework": (
        "half of MLflow's server is FastAPI, whose errors have no code; ours have MLflow's shape and the same words",
        lambda case, want, got: list(want) == ["status", "body"] and want["status"] == got["status"] and want["body"] == {"detail": said(got)}),
    "Databricks": (
        "MLflow has routes that only Databricks answers: 404 with nothing; ours say so",
        lambda case, want, got: (want["status"], got["status"]) == (404, 501) and "Only Databricks" in said(got)),
    "database's words": (
        "MLflow repeats the database's message, with its SQL",
        lambda case, want, got: "(sqlite3." in said(want) and want["status"] == got["status"] and (code(want) == code(got) or "ProgrammingError" in said(want) and invalid(got))),
    "twice": (
        "the same thing twice in one request: MLflow shows a broken constraint, we keep the last one",
        lambda case, want, got: "UNIQUE constraint failed" in said(want) and got["status"] == 200),
    "foreign keys": (
        "something unknown: MLflow shows a broken constraint, we answer 404, as in the neighbouring calls",
        lambda case, want, got: "FOREIGN KEY constraint failed" in said(want) and code(got) == "RESOURCE_DOES_NOT_EXIST"),
    "half read": (
        "MLflow drops a field of a wrong type with all fields that come after it and goes on with the rest; we refuse, name the field, and nothing is half written",
        lambda case, want, got: invalid(got) and HINT.match(said(got)) and want["status"] in (200, 400, 404)),
    "two values": (
        "an assessment with a feedback and an expectation: MLflow keeps the first; also half read",
        lambda case, want, got: want["status"] == 200 and invalid(got, "Assessment must have either feedback, expectation, or issue value")),
    "not JSON": (
        "MLflow reads a body that is no JSON as an empty one",
        lambda case, want, got: refused(got, "BAD_REQUEST") and said(got).startswith("The request body is not valid JSON: ") and refused(want)),
    "media types": (
        "MLflow demands small letters in a Content-Type",
        lambda case, want, got: want["status"] == 400 and got["status"] == 200 and case.headers.get("Content-Type", "").lower() == "application/json"),
    "numerals": (
        "MLflow reads an experiment's id as Python reads integers: with blanks around, in digits of any script",
        lambda case, want, got: want["status"] == 200 and invalid(got, "Invalid experiment ID ") and field(case, "experiment_id") in (" 0", "٠")),
    "NaN": (
        "NaN is no JSON, which browsers refuse; in MLflow's other calls it is the text that ours is",
        lambda case, want, got: "get-history-bulk" in case.path and json.dumps(want, sort_keys=True).replace("NaN", '"NaN"') == json.dumps(got, sort_keys=True)),
    "floats": (
        "numbers in an expectation that is a list or an object: protobuf makes floats of integers",
        lambda case, want, got: "/assessments" in case.path and re.sub(r"(\d)\.0\b", r"\1", json.dumps(want, sort_keys=True)) == re.sub(r"(\d)\.0\b", r"\1", json.dumps(got, sort_keys=True))),
    "pages of nothing": (
        "a limit below one: MLflow answers a page of nothing with a token for the same page, or everything",
        lambda case, want, got: want["status"] == 200 and invalid(got) and limit(case) is not None and limit(case) < 1),
    "large pages": (
        "a page has a bound here in every search",
        lambda case, want, got: want["status"] == 200 and invalid(got) and limit(case) is not None and limit(case) > 1000),
    "foreign tokens": (
        "page tokens of MLflow are offsets, ours are places; each refuses the other's",
        lambda case, want, got: invalid(got, "Invalid page token") and (want["status"] == 200 or refused(want, "INVALID_PARAMETER_VALUE"))),
    "sqlparse": (
        "MLflow splits a filter by SQL's keywords and shows the pieces; ours has no keywords such as user, source or version",
        lambda case, want, got: invalid(want, *SQL_WORDS) and invalid(got)),
    "odd filters": (
        "MLflow lets keys pass that are none: a blank behind the dot, an asterisk, nothing, any column of logged models; texts side by side; numbers that are texts",
        lambda case, want, got: want["status"] == 200 and case.path.endswith("search")
        and invalid(got, *SQL_WORDS, "While parsing a list in the query", "Expected numeric value type", "Invalid issue attribute", "Invalid filter string: ", "could not convert")
        or "logged-models/search" in case.path and want["status"] == 200 and invalid(got, "Invalid attribute key ")),
    "letter case": (
        "keywords in small letters, quotes and blanks around a key are fine here in every search",
        lambda case, want, got: got["status"] == 200 and want["status"] == 400 and (field(case, "filter") in FINE_HERE or field(case, "order_by") in FINE_HERE)),
    "settings": (
        "MLflow's sentence goes on with a setting of its own",
        lambda case, want, got: told_prefix(want, got) and "MLFLOW_" in said(want)[len(said(got)) - 1:]),
    "columns": (
        "longer than MLflow's columns: SQLite, on which the answers are recorded, stores it, PostgreSQL and MySQL fail; we refuse or cut",
        lambda case, want, got: want["status"] == 200 and (
            invalid(got) and re.search(r"exceeds the maximum length of \d+ characters|at most \d+ are allowed", said(got)) or got["status"] == 200 and long_text(case.body))),
    "paths": (
        "a path with dots, backslashes, control characters or escapes of escapes is refused before anything is opened",
        lambda case, want, got: odd_path(case) and invalid(got)),
    "clean paths": (
        "MLflow repeats a path as it was asked for, ours is the path that was found",
        lambda case, want, got: odd_path(case) and want["status"] == got["status"] == 200 and "artifacts/list" in case.path),
    "below the root": (
        "MLflow names the file below the whole store, ours below the run that was asked for",
        lambda case, want, got: refused(got) and (want["status"], code(want)) == (got["status"], code(got)) and re.sub(r"'[^']*/artifacts/", "'", said(want)) == said(got)),
    "no run, no path": (
        "a download without a run or a path: refused with other words",
        lambda case, want, got: "get-artifact" in case.path and refused(got) and (want["status"], code(want)) == (got["status"], code(got))
        and (field(case, "path") == "" or said(want) == "Run with id=None not found")),
    "traces by another word": (
        "assessments of an unknown trace: MLflow has two sentences for it",
        lambda case, want, got: code(want) == code(got) == "RESOURCE_DOES_NOT_EXIST" and said(want).startswith("Trace with request_id ") and said(got).startswith("Trace with ID ")),
    "a model's status": (
        "MLflow compares the number that a status is stored as with the text of the filter and finds nothing; ours compares names",
        lambda case, want, got: "logged-models/search" in case.path and "status" in str(field(case, "filter")) and want["status"] == got["status"] == 200),
    "a data set's name": (
        "MLflow takes a missing digest for an empty one and finds nothing; ours takes it for any",
        lambda case, want, got: "logged-models/search" in case.path and field(case, "datasets") == [{"dataset_name": "d"}] and want["status"] == got["status"] == 200),
    "finished how": (
        "a logged model's status that is unknown or unspecified: MLflow stores that it is unspecified",
        lambda case, want, got: case.method == "PATCH" and "logged-models/" in case.path and want["status"] == 200 and invalid(got, "Missing value for required parameter 'status'")),
    "locations": (
        "an artifact location that leads out of itself, or that only a browser would read, is refused whatever its scheme",
        lambda case, want, got: field(case, "artifact_location") is not None and want["status"] == 200 and invalid(got, "'artifact_location' ")),
    "sources": (
        "a model's source with a fragment or a query is refused whatever its scheme; a folder of MLflow's server is not shown",
        lambda case, want, got: "model-versions/create" in case.path and invalid(got, "Invalid model version source: ") and (want["status"] == 200 or invalid(want, "Invalid model version source: "))),
    "names": (
        "names with control characters or backslashes would end up in headers and paths",
        lambda case, want, got: "registered-models" in case.path and want["status"] == 200 and invalid(got) and "backslashes or control characters" in said(got)
        or case.method == "DELETE" and re.search(r"[\n\\]", str(field(case, "name"))) and code(got) == "RESOURCE_DOES_NOT_EXIST"),
    "nameless": (
        "datasets without a name or digest and models without an id would be stored for ever",
        lambda case, want, got: re.search("runs/(log-inputs|outputs)$", case.path) and want["status"] in (200, 400, 404) and invalid(got) and re.search(r"cannot be None|'model_id'", said(got))),
    "webhooks": (
        "addresses with passwords, of many hosts, or that are none; secrets and texts longer than a column",
        lambda case, want, got: "webhooks" in case.path and (want["status"] == 200 or invalid(want, "Webhook URL must not resolve")) and invalid(got)),
    "id of the path": (
        "the model's id stands in the path; MLflow wants it in the body too",
        lambda case, want, got: "logged-models/" in case.path and said(want).startswith("Missing value for required parameter 'model_id'")),
    "old spelling": (
        "log-batch with run_uuid: MLflow finds it and then does not",
        lambda case, want, got: "log-batch" in case.path and field(case, "run_uuid") is not None and invalid(want) and invalid(got)),
    "traces without an id": (
        "a trace's id is 1 to 50 characters without a slash",
        lambda case, want, got: case.path.endswith("3.0/mlflow/traces") and want["status"] == 200 and invalid(got) and "'trace_id'" in said(got)),
    "unknown location types": (
        "an unknown type of location with a known location: the location is enough",
        lambda case, want, got: "does not match the provided location" in said(want) and got["status"] == 200),
    "views": (
        "an unknown view of sums: MLflow takes the first one",
        lambda case, want, got: case.path.endswith("traces/metrics") and want["status"] == 200 and invalid(got)),
    "update masks": (
        "an assessment's fields that cannot be changed: MLflow changes nothing and answers 200",
        lambda case, want, got: case.method == "PATCH" and want["status"] == 200 and invalid(got) and "cannot be updated" in said(got)),
}


def long_text(value):
    if isinstance(value, dict):
        return any(long_text(v) for v in value.values())
    if isinstance(value, list):
        return any(long_text(v) for v in value)
    return isinstance(value, str) and len(value) > 1000


def explain(case, want, got):
    """The name of the rule that allows a difference, or None."""
    return next((name for name, (_, allows) in RULES.items() if allows(case, want, got)), None)
