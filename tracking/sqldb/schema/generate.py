"""Writes sqlite.sql: the DDL of a database that MLflow's own migrations made, and revisions.txt: the revisions we accept.

Run it with a Python that has the MLflow release whose head revision is wanted:
    .venv/bin/python tracking/sqldb/schema/generate.py
"""

import pathlib
import sqlite3
import tempfile

from alembic.script import ScriptDirectory
from mlflow.store.db import utils

HERE = pathlib.Path(__file__).parent
OLDEST = "7d34483879f0"  # head of MLflow 3.12


def main():
    with tempfile.TemporaryDirectory() as tmp:
        path = f"{tmp}/made.db"
        engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")
        utils._initialize_tables(engine)
        engine.dispose()
        with sqlite3.connect(path) as db:
            rows = db.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
                " ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, rowid"
            ).fetchall()
    statements = ["\n".join(line.rstrip() for line in sql.splitlines()) for (sql,) in rows]
    (HERE / "sqlite.sql").write_text(
        "-- Made by generate.py from MLflow's migrations; do not edit. Statements end with a line of two dashes.\n"
        + "".join(f"{sql}\n--\n" for sql in statements)
    )
    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    chain = [r.revision for r in script.iterate_revisions("heads", OLDEST, inclusive=True)]
    (HERE / "revisions.txt").write_text("".join(r + "\n" for r in chain))


main()
