"""The whole way on each kind of database: log, register, promote, predict, start again, and 64 writers to one run."""

import concurrent.futures

import databases
import pytest
import requests
from conftest import Server, register_wine, split_body, wait_until

WRITERS, KEYS = 64, 20


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def address(request, tmp_path_factory):
    """The address of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/mlflow.db"
        return
    with getattr(databases, request.param)() as uri:
        yield uri


@pytest.fixture
def serving(address, tmp_path):
    """A server on the database."""
    s = Server(tmp_path / "data", "--backend-store-uri", address).start()
    yield s
    s.stop()


def test_log_register_promote_predict(serving, mlflow_at):
    import mlflow

    client = mlflow_at(serving)
    mlflow.set_experiment("wines")
    with mlflow.start_run(run_name="first") as run:
        mlflow.log_param("depth", 3)
        mlflow.log_metric("loss", 0.25, step=2**40)
        mlflow.log_metric("nan", float("nan"))
    register_wine(mlflow, "wine")
    client.transition_model_version_stage("wine", "1", "Production")
    wait_until(lambda: serving.post("/endpoints/wine/invocations", json=split_body()).ok, what="wine answers")

    serving.stop()
    serving.start()
    client = mlflow_at(serving)
    again = client.get_run(run.info.run_id)
    assert again.data.params == {"depth": "3"} and again.data.metrics["loss"] == 0.25
    assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == [2**40]
    assert client.get_model_version("wine", "1").current_stage == "Production"
    wait_until(lambda: serving.post("/endpoints/wine/invocations", json=split_body()).ok, what="wine answers again")


def test_values_that_do_not_fit_are_the_clients_fault(serving):
    for experiment in ("77", "3000000000"):
        answer = requests.post(serving.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": experiment}, timeout=60)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), answer.text
    answer = requests.post(serving.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0", "user_id": "u" * 1000}, timeout=60)
    assert answer.status_code in (200, 400), answer.text  # SQLite has no widths


def test_64_writers_to_one_run(serving):
    run = serving.api("POST", "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]

    def write(writer):
        keys = [(writer * 7 + i) % KEYS for i in range(KEYS)]
        body = {
            "run_id": run,
            "metrics": [{"key": f"m{k}", "value": writer, "timestamp": 1, "step": writer} for k in keys],
            "params": [{"key": f"p{k}", "value": "same"} for k in keys],
            "tags": [{"key": f"t{k}", "value": str(writer)} for k in keys],
        }
        return requests.post(serving.url + "/api/2.0/mlflow/runs/log-batch", json=body, timeout=120)

    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        answers = list(pool.map(write, range(WRITERS)))
    assert {a.status_code for a in answers} == {200}, [a.text for a in answers if a.status_code != 200][:3]
    data = serving.api("GET", "runs/get", {"run_id": run})["run"]["data"]
    assert {(m["key"], m["value"], int(m["step"])) for m in data["metrics"]} == {(f"m{k}", WRITERS - 1, WRITERS - 1) for k in range(KEYS)}
    assert len(data["params"]) == KEYS
