"""PostgreSQL and MariaDB servers for the tests, from Debian's packages (`make databases` installs them).

Each is a process in a temporary folder, reached by a Unix socket in it, run by the user that its package made: PostgreSQL
refuses root.
"""

import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from urllib.parse import quote


def _owner(name):
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _program(name, pattern):
    found = sorted(glob.glob(pattern), key=lambda path: (len(path), path))
    path = found[-1] if found else shutil.which(name)
    assert path, f"{name} is not installed: run `make databases`"
    return path


@contextlib.contextmanager
def _running(owner, folder, command, ping):
    """Runs a server until the block ends; it answers from the block's begin on."""
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **owner)
    try:
        deadline = time.monotonic() + 120
        while not ping():
            text = (folder / "log").read_text(errors="replace")
            assert process.poll() is None, f"{command[0]} ended:\n{text}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer:\n{text}"
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _folder(owner):
    with tempfile.TemporaryDirectory(prefix="sluice-db-", ignore_cleanup_errors=True) as name:
        if owner:
            os.chown(name, owner["user"], owner["group"])
        yield pathlib.Path(name)


def _quiet(owner, command, folder):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, text=True, **owner)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}"


def _connects(connect):
    def ping():
        try:
            connect().close()
        except Exception:
            return False
        return True

    return ping


@contextlib.contextmanager
def postgresql():
    """Gives the address of an empty PostgreSQL database."""
    import psycopg2

    owner = _owner("postgres")
    server = _program("postgres", "/usr/lib/postgresql/*/bin/postgres")
    with _folder(owner) as folder:
        data = str(folder / "data")
        _quiet(owner, [os.path.join(os.path.dirname(server), "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "--encoding=UTF8", "--no-sync"], folder)
        command = [server, "-D", data, "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        with _running(owner, folder, command, _connects(lambda: psycopg2.connect(host=str(folder), user="postgres", dbname="postgres"))):
            yield f"postgresql+psycopg2://postgres@/postgres?host={folder}"


@contextlib.contextmanager
def mariadb():
    """Gives the address of an empty MariaDB database."""
    import pymysql

    owner = _owner("mysql")
    server = _program("mariadbd", "/usr/sbin/mariadbd")
    with _folder(owner) as folder:
        data, socket = f"--datadir={folder / 'data'}", str(folder / "s")
        _quiet(owner, [_program("mariadb-install-db", "/usr/bin/mariadb-install-db"), "--no-defaults", data, "--skip-test-db", "--auth-root-authentication-method=normal"], folder)
        command = [
            server, "--no-defaults", data, f"--socket={socket}", f"--pid-file={folder / 'pid'}", "--skip-networking", "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0", "--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci",
        ]
        with _running(owner, folder, command, _connects(lambda: pymysql.connect(unix_socket=socket, user="root"))):
            with pymysql.connect(unix_socket=socket, user="root") as connection, connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE tracking")
            yield f"mysql+pymysql://root@localhost/tracking?unix_socket={socket}"


@contextlib.contextmanager
def postgresql_with_password(password):
    """Gives the address of an empty PostgreSQL database that asks for a password; the address has it."""
    import psycopg2

    with postgresql() as uri:
        folder = pathlib.Path(uri.partition("host=")[2])
        with psycopg2.connect(host=str(folder), user="postgres", dbname="postgres") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE ROLE tracker LOGIN SUPERUSER PASSWORD %s", [password])
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text("local all tracker scram-sha-256\n" + rules.read_text())
        with psycopg2.connect(host=str(folder), user="postgres", dbname="postgres") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_reload_conf()")
        yield uri.replace("postgres@", f"tracker:{quote(password, safe='')}@")


@contextlib.contextmanager
def mariadb_with_password(password):
    """The same of MariaDB."""
    import pymysql

    with mariadb() as uri:
        with pymysql.connect(unix_socket=uri.partition("unix_socket=")[2], user="root") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE USER tracker@localhost IDENTIFIED BY %s", [password])
            cursor.execute("GRANT ALL ON *.* TO tracker@localhost")
        yield uri.replace("root@", f"tracker:{quote(password, safe='')}@")
