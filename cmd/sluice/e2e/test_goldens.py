"""Thousands of requests of which it is recorded what a real MLflow server answers: ours answers the same.

What is compared is the status, the error code, the message and the body, without ids and times. A difference on purpose is one of
the rules of goldens/exceptions.py; a rule that allows nothing any more has to go.
"""

import collections

import goldens
import pytest
from conftest import Server
from goldens import exceptions
from sides import Side, first_difference

used = collections.Counter()


@pytest.fixture(scope="module")
def side(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("goldens") / "data", "--prediction-log=false").start()
    yield Side(server.url)
    log = "\n".join(server.out)
    assert server.stop() == 0, log
    assert "panic" not in log


@pytest.mark.parametrize("module", goldens.MODULES)
def test_same_answers_as_recorded(side, module):
    """In the order of MODULES on one server, as they were recorded."""
    cases, recorded = goldens.cases(module), goldens.recorded(module)
    assert [str(c) for c in cases] == [r["request"] for r in recorded], "the requests are not those that were recorded: run `make goldens`"
    differences = []
    for number, (case, want) in enumerate(zip(cases, recorded)):
        want = {k: v for k, v in want.items() if k != "request"}
        got = case.play(side)
        rule = None if want == got else exceptions.explain(case, want, got)
        used[rule] += 1
        if got["status"] in FAILURES and want["status"] != got["status"] or want != got and rule is None:
            differences.append(told(number, case, want, got))
    assert not differences, f"{len(differences)} of {len(cases)} answers differ\n" + "\n".join(differences[:40])


FAILURES = (500, 502, 503, "connection closed")


def told(number, case, want, got):
    where, *docs = first_difference(want, got) if want["status"] == got["status"] == 200 else ("", str(want), str(got))
    return f"{number}: {str(case)[:300]} {where}\n  mlflow {docs[0][:300]}\n  ours   {docs[1][:300]}"


def test_every_rule_is_needed(side):
    if not used:
        pytest.fail("runs behind the other tests of this file")
    assert sorted(exceptions.RULES.keys() - used.keys()) == []


def test_there_are_enough():
    assert sum(len(goldens.cases(m)) for m in goldens.MODULES) > 2500
