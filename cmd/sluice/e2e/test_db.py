"""`sluice db` on each kind of database: looks, copies, and moves MLflow's tables from the oldest schema that is accepted to the newest."""

import contextlib
import os
import pathlib
import sqlite3
import subprocess
import sys

import databases
import pytest
import requests
from conftest import BINARY, ROOT, Server, own_environ
from mlflow.exceptions import MlflowException
from mlflow.tracing.trace_rollup_service import validate_sql_trace_rollup_startup

REVISIONS = (ROOT / "tracking" / "sqldb" / "schema" / "revisions.txt").read_text().split()
MLFLOW = pathlib.Path(sys.executable).with_name("mlflow")

OLD = """
import sys
from alembic import command
from mlflow.store.db import utils
from mlflow.store.tracking.dbmodels.initial_models import Base
engine = utils.create_sqlalchemy_engine_with_retry(sys.argv[1])
Base.metadata.create_all(engine)
config = utils._get_alembic_config(sys.argv[1])
with engine.begin() as connection:
    config.attributes["connection"] = connection
    command.upgrade(config, sys.argv[2])
"""


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def old(request, tmp_path):
    """The address of a database as MLflow 3.12 left it; its password is not asked for by the test's PostgreSQL."""
    if request.param == "sqlite":
        uri = f"sqlite:///{tmp_path}/mlflow.db"
        make_old(uri)
        yield uri
        return
    with getattr(databases, request.param)() as uri:
        make_old(uri)
        yield uri.replace("postgres@", "postgres:s3cr3t@")


def make_old(uri):
    subprocess.run([sys.executable, "-c", OLD, uri, REVISIONS[-1]], env=own_environ(), check=True, capture_output=True)


def db(uri, tmp_path, *args):
    environ = own_environ() | {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [str(BINARY), "db", *args, "--data-dir", str(tmp_path / "data"), "--backend-store-uri", uri], capture_output=True, text=True, env=environ, timeout=300
    )
    assert "s3cr3t" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def test_old_database_is_looked_at_copied_and_upgraded(old, tmp_path):
    code, text = db(old, tmp_path, "check")
    assert code == 0 and f'"{REVISIONS[-1]}": accepted; the newest is {REVISIONS[0]}' in text and text.endswith("whole\n"), text

    program = tmp_path / "mlflow"  # MLflow's, watched for what others on the machine would see
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/seen\nexec {MLFLOW} "$@"\n')
    program.chmod(0o700)
    code, text = db(old, tmp_path, "upgrade")
    assert code == 0 and "sluice db upgrade --mlflow" in text, text
    code, text = db(old, tmp_path, "upgrade", "--mlflow", "--mlflow-program", str(program), "--backup", str(tmp_path / "before"))
    assert code == 0 and f"backup {tmp_path}/before: " in text and f"newest schema, {REVISIONS[0]}" in text, text
    assert REVISIONS[-1].encode() in (tmp_path / "before").read_bytes()
    assert "s3cr3t" not in (tmp_path / "seen").read_text()
    assert not [f for f in tmp_path.iterdir() if f.suffix == ".cnf"]

    code, text = db(old, tmp_path, "check")
    assert code == 0 and "the newest" in text and "own tables of registry: step" in text and text.endswith("whole\n"), text
    code, text = db(old, tmp_path, "upgrade", "--mlflow")  # nothing to do: neither program nor backup is needed
    assert code == 0 and "backup" not in text, text


def test_upgrade_without_the_right_mlflow_changes_nothing(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    make_old(uri)
    code, text = db(uri, tmp_path, "upgrade", "--mlflow", "--mlflow-program", str(tmp_path / "none"))
    assert code == 1 and "pip install mlflow==" in text, text
    newer = tmp_path / "newer"
    newer.write_text("#!/bin/sh\necho mlflow, version 99.0.0\n")
    newer.chmod(0o700)
    code, text = db(uri, tmp_path, "upgrade", "--mlflow", "--mlflow-program", str(newer))
    assert code == 1 and "99.0.0" in text, text
    code, text = db(uri, tmp_path, "check")
    assert code == 0 and REVISIONS[-1] in text, text
    assert not [p for p in (tmp_path / "data").glob("backup-*")]


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_backup_where_a_password_is_asked_for(kind, tmp_path):
    """The server lets nobody in without the password, which no argument of a program shows; a wrong one leaves no file."""
    with getattr(databases, kind + "_with_password")("s3cr3t p'w") as uri:
        serve_once(uri, tmp_path)
        backup = tmp_path / "copy.sql"
        code, text = db(uri, tmp_path, "backup", str(backup))
        assert code == 0 and "alembic_version" in backup.read_text(errors="replace"), text
        code, text = db(uri.replace("s3cr3t", "guess"), tmp_path, "backup", str(tmp_path / "wrong.sql"))
        assert code == 1 and not (tmp_path / "wrong.sql").exists(), text


def serve_once(uri, tmp_path):
    """Makes the tables in an empty database."""
    server = Server(tmp_path / "data", "--backend-store-uri", uri, "--prediction-log=false").start()
    server.api("POST", "runs/create", {"experiment_id": "0", "run_name": "kept"})
    assert server.stop() == 0


def test_mlflow_upgrades_a_database_with_our_indexes(tmp_path):
    """An old schema that our server worked on: MLflow's own command moves it, its server's runs are found, and our indexes are there again."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    make_old(uri)
    serve_once(uri, tmp_path)
    assert OUR_INDEXES <= indexes(tmp_path / "mlflow.db")
    subprocess.run([str(MLFLOW), "db", "upgrade", uri], env=own_environ() | {"PATH": os.environ["PATH"]}, check=True, capture_output=True)
    code, text = db(uri, tmp_path, "check")
    assert code == 0 and "the newest" in text and text.endswith("whole\n"), text
    server = Server(tmp_path / "data", "--backend-store-uri", uri, "--prediction-log=false").start()
    runs = server.api("POST", "runs/search", {"experiment_ids": ["0"], "order_by": ["start_time DESC"]})["runs"]
    assert [r["info"]["run_name"] for r in runs] == ["kept"]
    assert server.stop() == 0
    assert OUR_INDEXES <= indexes(tmp_path / "mlflow.db")
    store = "from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S; import sys; print([r.info.run_name for r in S(sys.argv[1], './a').search_runs(['0'], '', 1)])"
    done = subprocess.run([sys.executable, "-c", store, uri], env=own_environ(), cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['kept']"


def test_the_oldest_schema_is_served_but_for_traces(tmp_path):
    """Experiments, runs, models and the registry work on it; what needs the columns of traces answers 501 and says what to run."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    make_old(uri)
    server = Server(tmp_path / "data", "--backend-store-uri", uri, "--prediction-log=false").start()
    run = server.api("POST", "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    server.api("POST", "runs/log-batch", {"run_id": run, "metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 2}], "params": [{"key": "p", "value": "x"}]})
    found = server.api("POST", "runs/search", {"experiment_ids": ["0"], "filter": "metrics.m = 1 AND params.p = 'x'", "order_by": ["metrics.m"]})["runs"]
    assert [r["info"]["run_id"] for r in found] == [run]
    server.api("POST", "registered-models/create", {"name": "wine"})
    server.api("POST", "model-versions/create", {"name": "wine", "source": "s3://bucket/wine", "run_id": run})
    server.api("POST", "model-versions/transition-stage", {"name": "wine", "version": "1", "stage": "Staging", "archive_existing_versions": False})
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:  # as an older MLflow wrote it
        connection.execute("INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, execution_time_ms, status) VALUES ('tr-1', 0, 1, 1, 'OK')")
        connection.execute("INSERT INTO trace_tags (request_id, key, value) VALUES ('tr-1', 'mlflow.traceName', 'old')")
        connection.commit()
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    info = {"trace_id": "tr-2", "trace_location": place, "request_time": "2026-01-01T00:00:00Z", "state": "OK"}
    count = {"experiment_ids": ["0"], "view_type": "TRACES", "metric_name": "trace_count", "aggregations": [{"aggregation_type": "COUNT"}]}
    for method, path, body in (
        ("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": info}}),
        ("POST", "/api/3.0/mlflow/traces/search", {"locations": [place]}),
        ("POST", "/api/3.0/mlflow/traces/batchGetInfos", {"trace_ids": ["tr-1"]}),
        ("POST", "/api/3.0/mlflow/traces/metrics", count),
        ("PATCH", "/api/3.0/mlflow/traces/tr-1/tags", {"key": "k", "value": "v"}),
        ("POST", "/api/2.0/mlflow/traces/link-to-run", {"trace_ids": ["tr-1"], "run_id": run}),
        ("POST", "/api/2.0/mlflow/traces/delete-traces", {"experiment_id": "0", "request_ids": ["tr-1"]}),
    ):
        answer = requests.request(method, server.url + path, json=body, timeout=60)
        assert (answer.status_code, answer.json().get("error_code")) == (501, "NOT_IMPLEMENTED"), f"{path}: {answer.text}"
        assert "sluice db upgrade --mlflow" in answer.json()["message"]
    refused = requests.get(server.url + "/api/2.0/sluice/bundles/export", {"kind": "experiment", "id": "0"}, timeout=60)
    assert (refused.status_code, refused.json()["error_code"]) == (501, "NOT_IMPLEMENTED"), refused.text
    assert requests.get(server.url + "/api/2.0/sluice/bundles/export", {"kind": "run", "id": run}, timeout=60).ok  # it has no traces
    assert server.stop() == 0


def test_rollups_that_would_go_wrong_are_refused_as_by_mlflow(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert db(uri, tmp_path, "upgrade")[0] == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        columns = "experiment_id, rollup_day, metric_name, grouping_set, sample_count"
        connection.execute(f"INSERT INTO sql_trace_metric_daily_rollups ({columns}) VALUES (0, '2026-01-02', 'trace_count', 'global', 3)")
        connection.commit()
    with pytest.raises(MlflowException, match="delete-trace-rollups"):
        validate_sql_trace_rollup_startup(uri)
    code, text = db(uri, tmp_path, "check")
    assert code == 1 and "problem: sql_trace_metric_daily_rollups holds" in text, text
    code, text = db(uri, tmp_path, "upgrade")  # opens the database as a server does
    assert code == 1 and "run: sluice db delete-trace-rollups" in text, text

    code, text = db(uri, tmp_path, "delete-trace-rollups")
    assert code == 0 and "no rollups" in text, text
    validate_sql_trace_rollup_startup(uri)
    code, text = db(uri, tmp_path, "check")
    assert code == 0 and text.endswith("whole\n"), text
    assert db(uri, tmp_path, "upgrade")[0] == 0


def test_other_workspaces_are_refused_until_mlflow_moves_them(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert db(uri, tmp_path, "upgrade")[0] == 0
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("INSERT INTO workspaces (name) VALUES ('team')")
        connection.execute("INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace) VALUES (7, 'theirs', 'active', 'team')")
        connection.commit()
    code, text = db(uri, tmp_path, "check")
    assert code == 1 and "problem: experiments holds rows outside the default workspace" in text, text
    code, text = db(uri, tmp_path, "upgrade")  # opens the database as a server does
    assert code == 1 and f"mlflow db migrate-to-default-workspace {uri}" in text, text

    subprocess.run([MLFLOW, "db", "migrate-to-default-workspace", uri, "--yes"], env=own_environ(), check=True, capture_output=True)
    code, text = db(uri, tmp_path, "check")
    assert code == 0 and text.endswith("whole\n"), text
    assert db(uri, tmp_path, "upgrade")[0] == 0


OUR_INDEXES = {"sluice_runs_start", "sluice_latest_metrics_value"}


def indexes(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
