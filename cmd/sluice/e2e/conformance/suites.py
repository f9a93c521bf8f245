"""MLflow's tests that go through REST, by suite: what is exchanged in each (see plugin.py) and its files in MLflow's tree.

Files whose tests mock every request (of clients, of artifact repositories) are not among them.
"""

from typing import NamedTuple


class Suite(NamedTuple):
    name: str
    swap: str
    paths: tuple
    keep: tuple = ()  # methods of the SQL store that are not exchanged
    only: str = ""  # pytest's -k; "" means every test


TRACKING, ARTIFACT, TRACING = "tests/tracking/", "tests/store/artifact/", "tests/tracing/"
SQL_TRACKING = "tests/store/tracking/sqlalchemy_store/test_sqlalchemy_store.py"
SQL_TRACE_METRICS = "tests/store/tracking/sqlalchemy_store/test_sqlalchemy_store_query_trace_metrics.py"
SPANS = ("log_spans", "log_spans_async")  # over OTLP a span loses the made-up trace id that the SQL suites look for
SUITES = (
    Suite("sql-tracking", "store", (SQL_TRACKING,)),
    Suite("sql-trace-metrics", "store", (SQL_TRACE_METRICS,)),
    Suite("sql-spans", "store", (SQL_TRACKING, SQL_TRACE_METRICS), keep=SPANS, only="span or trace"),
    Suite("sql-registry", "store", ("tests/store/model_registry/test_sqlalchemy_store.py",)),
    Suite("rest-tracking", "", (TRACKING + "test_rest_tracking.py",)),
    Suite("rest-registry", "", (TRACKING + "test_model_registry.py",)),
    Suite("client", "tracking", (TRACKING + "test_client.py", TRACKING + "test_tracking.py")),
    Suite(
        "fluent",
        "tracking",
        (
            *(TRACKING + f"fluent/test_{subject}.py" for subject in ("fluent", "set_experiment_trace_location")),
            TRACKING + "test_log_image.py",
            TRACKING + "test_log_figure.py",
            "tests/test_runs.py",
        ),
    ),
    Suite("registry-client", "tracking", (TRACKING + "_model_registry/test_model_registry_fluent.py",)),
    Suite(
        "artifacts",
        "tracking",
        (
            TRACKING + "test_mlflow_artifacts.py",
            TRACKING + "test_artifact_utils.py",
            "tests/artifacts",
            *(ARTIFACT + f"test_{kind}_artifact_repo.py" for kind in ("mlflow", "runs")),
        ),
    ),
    Suite("webhooks", "", (TRACKING + "test_client_webhooks.py", "tests/store/model_registry/test_rest_store_webhooks.py", "tests/webhooks")),
    Suite(
        "traces",
        "tracking",
        tuple(TRACING + f"test_{subject}.py" for subject in ("attachments_integration", "fluent", "otel_loading", "otel_logging", "tracing_client", "distributed")),
    ),
    Suite("prompts", "tracking", ("tests/genai/prompts",)),
)
