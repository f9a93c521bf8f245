"""Writes the DDL of databases that MLflow's own migrations made, and revisions.txt: the revisions we accept.

Run it with a Python that has the MLflow release whose head revision is wanted; without the addresses of two empty server
databases it writes sqlite.sql and revisions.txt only:
    .venv/bin/python tracking/sqldb/schema/generate.py \
        'postgresql+psycopg2://postgres@/empty?host=/run/postgresql' 'mysql+pymysql://root@localhost/empty?unix_socket=/run/mysqld/mysqld.sock'
"""

import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile

from alembic.script import ScriptDirectory
from mlflow.store.db import utils
from sqlalchemy.engine import make_url

HERE = pathlib.Path(__file__).parent
OLDEST = "7d34483879f0"  # head of MLflow 3.12
HEADER = "-- Made by generate.py from MLflow's migrations; do not edit. Statements end with a line of two dashes.\n"


def migrated(uri):
    """Lets MLflow fill the database at uri and returns an engine on it."""
    engine = utils.create_sqlalchemy_engine(uri)
    utils._initialize_tables(engine)
    return engine


def write(name, statements):
    lines = ["\n".join(line.rstrip() for line in sql.strip().splitlines()) for sql in statements]
    (HERE / name).write_text(HEADER + "".join(f"{sql}\n--\n" for sql in lines))


def sqlite():
    with tempfile.TemporaryDirectory() as tmp:
        path = f"{tmp}/made.db"
        migrated(f"sqlite:///{path}").dispose()
        with sqlite3.connect(path) as db:
            return [
                sql
                for (sql,) in db.execute(
                    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
                    " ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, rowid"
                )
            ]


def postgresql(uri):
    """The sections of pg_dump, without the name of the schema, so that search_path decides where the tables go."""
    migrated(uri).dispose()
    url = make_url(uri).set(drivername="postgresql").render_as_string(hide_password=False)
    dump = subprocess.run(
        ["pg_dump", "--schema-only", "--no-owner", "--no-privileges", url], check=True, capture_output=True, text=True
    ).stdout
    sections = re.split(r"^--\n-- Name: .*\n--\n", dump, flags=re.M)[1:]
    body = [re.sub(r"^(SET |--|\\).*\n?", "", s, flags=re.M).strip().replace("public.", "") for s in sections]
    body = [re.sub(r"\n\n+", "\n", s).removesuffix(";") for s in body if s]
    return [re.sub(IN_LIST, in_list, s) for s in body]


# How PostgreSQL prints "column IN ('a', 'b')" of a VARCHAR column; read again it would print it in yet another way.
IN_LIST = r"CHECK \(\(\((\w+)\)::text = ANY \(\(ARRAY\[([^]]*)\]\)::text\[\]\)\)\)"


def in_list(match):
    return f"CHECK ({match[1]} IN ({match[2].replace('::character varying', '')}))"


def mysql(uri):
    """SHOW CREATE TABLE in the order of foreign keys. Character set and collation are left to the database; the display widths
    of integers, which MySQL 8 calls obsolete, are left out; MariaDB's spelling of JSON columns becomes MySQL's."""
    engine = migrated(uri)
    with engine.connect() as c:
        tables = {t: c.exec_driver_sql(f"SHOW CREATE TABLE `{t}`").fetchone()[1] for (t,) in c.exec_driver_sql("SHOW TABLES").fetchall()}
        triggers = [c.exec_driver_sql(f"SHOW CREATE TRIGGER `{t[0]}`").fetchone()[2] for t in c.exec_driver_sql("SHOW TRIGGERS").fetchall()]
    engine.dispose()
    out, done = [], set()
    while len(done) < len(tables):
        ready = sorted(t for t, ddl in tables.items() if t not in done and set(re.findall(r"REFERENCES `(\w+)`", ddl)) <= done | {t})
        assert ready, "foreign keys in a circle"
        out += [tables[t] for t in ready]
        done |= set(ready)
    json = r"longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin( NOT NULL| DEFAULT NULL) CHECK \(json_valid\(`\w+`\)\)"
    out = [re.sub(json, r"json\1", ddl) for ddl in out]
    out = [re.sub(r"\b(bigint|int)\(\d+\)", r"\1", ddl) for ddl in out]
    out = [re.sub(r"\) ENGINE=InnoDB.*$", ") ENGINE=InnoDB", ddl) for ddl in out]
    return out + [re.sub(r"^CREATE DEFINER=\S+ ", "CREATE ", t) for t in triggers]


def main():
    write("sqlite.sql", sqlite())
    if len(sys.argv) > 1:
        write("postgresql.sql", postgresql(sys.argv[1]))
        write("mysql.sql", mysql(sys.argv[2]))
    script = ScriptDirectory.from_config(utils._get_alembic_config(""))
    chain = [r.revision for r in script.iterate_revisions("heads", OLDEST, inclusive=True)]
    (HERE / "revisions.txt").write_text("".join(r + "\n" for r in chain))


main()
