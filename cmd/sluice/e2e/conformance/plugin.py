"""A pytest plugin under which MLflow's own tests, as they are, run against a server in another process.

CONFORMANCE_SERVER chooses ours or a stock one (see servers.py), CONFORMANCE_SWAP what else goes through it:
  "store"    the SQL stores that suites of SqlAlchemyStore test: each becomes the RestStore of a server over its database;
  "tracking" the tracking URI that every test gets: a live server over the test's SQLite file instead of the file;
  ""         nothing: only servers that tests start themselves are exchanged.
Writes one line a test to CONFORMANCE_RESULT: outcome, number of requests it sent to a server, node id.
"""

import os
import re
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

import pytest
import requests
import servers

SWAP = os.environ.get("CONFORMANCE_SWAP", "")
RESULT = os.environ["CONFORMANCE_RESULT"]
KEEP = set(os.environ.get("CONFORMANCE_KEEP", "").split(","))  # methods of exchanged stores that stay SQL
SKIP = re.compile(os.environ.get("CONFORMANCE_LEAVE_OUT") or r"(?!)")
LOCAL = ("127.0.0.1", "localhost")


class Traffic:
    """Counts what the running test sends to servers; a started server process counts too, for clients of other processes."""

    count = 0


def count_requests():
    send = requests.Session.send

    def counting(self, request, **kwargs):
        if urlsplit(request.url).hostname in LOCAL:
            Traffic.count += 1
        return send(self, request, **kwargs)

    requests.Session.send = counting


# --- servers that tests start themselves ---


class Latest:
    """The stores that a test set up last for an in-process server: what our server must open instead."""

    backend = root = None


def follow_stores():
    import mlflow.server.handlers as handlers

    initialize = handlers.initialize_backend_stores

    def following(backend_store_uri=None, registry_store_uri=None, default_artifact_root=None, *args, **kwargs):
        Latest.backend, Latest.root = backend_store_uri, default_artifact_root
        return initialize(backend_store_uri, registry_store_uri, default_artifact_root, *args, **kwargs)

    handlers.initialize_backend_stores = following


class ServerThread:
    """Stands in for the tests' own ServerThread(app, port)."""

    def __init__(self, app, port):
        self._port = port

    def __enter__(self):
        self._server = servers.start(Latest.backend, Latest.root, self._port)
        self.url = self._server.url
        return self.url

    def __exit__(self, *exc):
        self._server.close()


def options_of(arguments):
    """Returns the command line options as a dict without dashes; a flag has the value None."""
    options, i = {}, 0
    while i < len(arguments):
        name, given, value = arguments[i].lstrip("-").partition("=")
        if not given and i + 1 < len(arguments) and not arguments[i + 1].startswith("-"):
            value, i = arguments[i + 1], i + 1
            given = "="
        elif not given and name in ("gunicorn-opts", "uvicorn-opts"):
            i += 1
        options[name] = value if given else None
        i += 1
    return options


def server_options(command, environment):
    """Returns the options of `mlflow server` that a command starts in whatever way, None for any other command."""
    words = [str(w) for w in command] if isinstance(command, (list, tuple)) else []
    if "server" in words and os.path.basename(words[words.index("server") - 1]) == "mlflow":
        return options_of(words[words.index("server") + 1 :])
    if words[1:4] == ["-m", "uvicorn", "mlflow.server.fastapi_app:app"] or words[1:5] == ["-m", "flask", "--app", "mlflow.server:app"]:
        from mlflow.server import ARTIFACT_ROOT_ENV_VAR, BACKEND_STORE_URI_ENV_VAR

        options = {"port": options_of(words[3:])["port"], "backend-store-uri": environment[BACKEND_STORE_URI_ENV_VAR]}
        return {**options, "default-artifact-root": environment[ARTIFACT_ROOT_ENV_VAR]} if environment.get(ARTIFACT_ROOT_ENV_VAR) else options
    return None


def other_stock(command, environment, options):
    """Returns the command and environment of a stock server of another MLflow than the tests', on a database with that one's schema."""
    from mlflow.server import BACKEND_STORE_URI_ENV_VAR

    words = [str(w) for w in command]
    module = words.index("-m") if "-m" in words else None
    words = [servers.STOCK_PYTHON, *(words[module:] if module else ("-m", "mlflow", *words[words.index("server") :]))]
    if old := options.get("backend-store-uri"):
        new = servers.Schema.renew(old)
        words = [w.replace(old, new) for w in words]
        environment = {**environment, **({BACKEND_STORE_URI_ENV_VAR: new} if BACKEND_STORE_URI_ENV_VAR in environment else {})}
    return words, environment


class StartedServer(subprocess.Popen):
    """A process; `mlflow server` becomes ours where that is wanted, and is up when the constructor returns."""

    def __init__(self, args, *rest, **kwargs):
        environment = kwargs.get("env") or os.environ
        options = server_options(args, environment)
        if options is not None:
            Traffic.count += 1
            if servers.MODE == "sluice":
                if backend := options.get("backend-store-uri"):
                    options["backend-store-uri"] = servers.Schema.renew(backend)
                args, kwargs["env"] = servers.sluice_command(options), servers.sluice_environment(environment)
            else:
                if "server" in args and "workers" not in options:  # its supervisor kills workers that a busy machine keeps from answering
                    args = [*args, "--workers", "1"]
                if servers.STOCK_PYTHON != sys.executable:
                    args, kwargs["env"] = other_stock(args, environment, options)
        super().__init__(args, *rest, **kwargs)
        if options is not None:  # tests give a server seconds, which stock on a busy machine doesn't keep
            servers.wait_for(f"http://127.0.0.1:{options.get('port', 5000)}", self)


# --- fixtures exchanged ---


class Hybrid:
    """A SQL store whose contract is asked over REST; what only SQL has (sessions, helpers of the tests) it keeps."""

    def __init__(self, sql, rest):
        self.__dict__.update(_sql=sql, _rest=rest, _remote={n for c in type(rest).__mro__ if "rest" in c.__module__ for n in vars(c)} - KEEP)

    def __getattr__(self, name):
        return getattr(self._rest if not name.startswith("_") and name in self._remote else self._sql, name)


def remote_store(sql):
    """Returns the store of a fresh server over sql's database, and that server; None for a store of another kind."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking
    from mlflow.utils.rest_utils import MlflowHostCreds

    if isinstance(sql, Tracking):
        from mlflow.store.tracking.rest_store import RestStore
    elif isinstance(sql, Registry):
        from mlflow.store.model_registry.rest_store import RestStore
    else:
        return None
    server = servers.start(sql.db_uri, getattr(sql, "artifact_root_uri", None))
    rest = RestStore(lambda: MlflowHostCreds(server.url))
    if isinstance(sql, Tracking):  # the SQL store takes None for no tags, clients always send a list
        create = rest.create_run
        rest.create_run = lambda experiment_id, user_id, start_time, tags, run_name: create(experiment_id, user_id, start_time, tags or [], run_name)
    return Hybrid(sql, rest), server


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    value = yield
    exchanged = None
    if SWAP == "store" and fixturedef.argname == "store":
        if (remote := remote_store(value)) is not None:
            exchanged, server = remote
            fixturedef.addfinalizer(server.close)
    elif SWAP == "tracking" and fixturedef.argname == "tracking_uri_mock" and value:
        from mlflow.tracking._tracking_service.utils import _use_tracking_uri

        artifacts = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        server = servers.start(value, "file://" + artifacts.name)
        use = _use_tracking_uri(server.url)
        use.__enter__()
        for undo in (artifacts.cleanup, server.close, lambda: use.__exit__(None, None, None)):  # the last one first
            fixturedef.addfinalizer(undo)
        exchanged = server.url
    if exchanged is None:
        return value
    fixturedef.cached_result = (exchanged, *fixturedef.cached_result[1:])
    return exchanged


# --- the session ---


def pytest_configure(config):
    count_requests()
    follow_stores()
    subprocess.Popen = StartedServer
    import tests.tracking.integration_test_utils as theirs

    theirs.ServerThread = ServerThread


def pytest_collection_modifyitems(config, items):
    left_out = [i for i in items if SKIP.search(i.nodeid)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [i for i in items if not SKIP.search(i.nodeid)]
    for module in {getattr(i, "module", None) for i in items}:  # ten seconds for a process to start are few on a busy machine
        if wait := getattr(module, "wait_until_ready", None):
            wait.__defaults__ = (120,)
        if serve := getattr(module, "flask_server", None):  # an application of the test's own; it is asked five times a second
            serve.__wrapped__.__kwdefaults__["wait_timeout"] = 600


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    Traffic.count = 0
    return (yield)


_outcomes = {}


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        failed = report.outcome == "failed"
        outcome = "error" if failed and report.when != "call" else report.outcome
        _outcomes[report.nodeid] = outcome
    if report.when == "teardown" and report.nodeid in _outcomes:
        with open(RESULT, "a") as out:
            out.write(f"{_outcomes.pop(report.nodeid)}\t{Traffic.count}\t{report.nodeid}\n")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Ends the process: threads that still want to log to a server that is gone would keep it for minutes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
