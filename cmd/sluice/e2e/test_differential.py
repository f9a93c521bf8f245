"""The same calls to a real MLflow server and to ours: status, error code, message and answer have to be equal.

The calls are generated from a seed (calls.py). `DIFFERENTIAL_CALLS` and `DIFFERENTIAL_SEED` look further than the default;
`MLFLOW_SERVER_URL` uses a server that runs already. A difference on purpose stands in goldens/exceptions.py with its reason.
"""

import os
import re
import shutil

import pytest
from calls import Generator
from conftest import Server
from goldens import Case
from goldens.exceptions import explain
from sides import Side, dig, first_difference, mlflow_server

CALLS = int(os.environ.get("DIFFERENTIAL_CALLS", "300"))
SEED = int(os.environ.get("DIFFERENTIAL_SEED", "1"))

MADE = {"experiments/create": ("exp", "experiment_id"), "runs/create": ("run", "run.info.run_id"), "logged-models": ("model", "model.info.model_id"),
        "traces": ("trace", "trace.trace_info.trace_id"), "assessments": ("assessment", "assessment.assessment_id")}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    s = Server(tmp_path_factory.mktemp("differential") / "data", "--prediction-log=false").start()
    yield s
    s.stop()


@pytest.fixture(scope="module")
def theirs(ours, tmp_path_factory):
    """A real MLflow server on a copy of our empty database, which saves it the migrations."""
    if url := os.environ.get("MLFLOW_SERVER_URL"):
        yield url, "unknown folder"
        return
    ours.stop()
    folder = tmp_path_factory.mktemp("mlflow")
    shutil.copy(ours.data_dir / "sluice.db", folder / "empty.db")
    ours.start()
    with mlflow_server(folder, folder / "empty.db") as url:
        yield url, folder


def keep(generator, path, sides, responses):
    """Remembers the ids of something that both have made."""
    kind, where = next((v for k, v in MADE.items() if re.search(f"/mlflow/(traces/[^/]*/)?{k}$", path)), (None, None))
    if kind is None or any(r.status_code != 200 for r in responses):
        return
    name = generator.made(kind)
    for side, response in zip(sides, responses):
        doc = response.json()
        side.ids[name] = str(dig(doc, where))
        if kind == "run":
            side.ids[name.replace("run", "artifacts")] = doc["run"]["info"]["artifact_uri"]


def has_more(responses):
    """Whether all answers have a page token; remembered as `{page}`."""
    return all(r.status_code == 200 and r.headers.get("Content-Type", "").startswith("application/json") and r.json().get("next_page_token") for r in responses)


def test_same_answers_as_mlflow(ours, theirs):
    sides = [Side(theirs[0]), Side(ours.url)]
    for side, folder in zip(sides, (theirs[1], ours.data_dir.parent)):
        side.ids["folder"] = str(folder)
    generator, differences, apart, unequal = Generator(SEED), [], set(), 0
    for number in range(CALLS):
        method, path, body = call = generator.call()
        responses = [side.send(method, path, body) for side in sides]
        keep(generator, path, sides, responses)
        if isinstance(body, dict) and has_more(responses):
            generator.more(call)
            for side, response in zip(sides, responses):
                side.ids["page"] = response.json()["next_page_token"]
        want, got = [side.answer(response) for side, response in zip(sides, responses)]
        if method != "GET" and "search" not in path and taken_by_one(want, got):
            apart |= named(method, path, body)
        elif want["status"] == got["status"] == 200 and apart & named(method, path, body, want, got):
            unequal += 1
            continue
        if got["status"] == 500 or want != got and not two_mistakes(call, want, got) and not explain(Case(method, path, body), want, got):
            differences.append(told(number, call, want, got))
    print(f"seed {SEED}: {unequal} answers not compared, about {sorted(apart)}")
    assert not differences, f"seed {SEED}: {len(differences)} of {CALLS} answers differ\n" + "\n".join(differences[:60])


def taken_by_one(want, got):
    """Whether one server did what the other refused. That is told or explained as a difference; what is named in such a call may
    differ from then on, and successes that name it are no longer compared."""
    return (want["status"] == 200) != (got["status"] == 200)


def named(*parts):
    """The names of ids in a call and its answers."""
    return set(re.findall(r"\{([a-z]+\d+)\}", str(parts)))


def two_mistakes(call, want, got):
    """A call with two mistakes, of which each server names another one; goldens/ has each by itself, word for word."""
    if not want.get("error_code") == got.get("error_code") == "INVALID_PARAMETER_VALUE":
        return False
    blamed = {blames(call, answer["message"]) for answer in (want, got)}
    return want["message"][:12] != got["message"][:12] or len(blamed) == 2 and None not in blamed


def blames(call, message):
    """What of the call a message quotes first, or says is missing; None if that is not of the call."""
    quoted = re.search("'([^']+)'", message)
    if quoted and (message.startswith("Missing value") or re.split(r"[.\[]", quoted[1])[0] in str(call)):
        return quoted[1]
    return None


def told(number, call, want, got):
    where, *docs = first_difference(want, got) if want["status"] == got["status"] == 200 else ("", str(want), str(got))
    return f"call {number}: {' '.join(map(str, call))[:600]} {where}\n  mlflow {docs[0][:400]}\n  ours   {docs[1][:400]}"
