"""Webhooks: MLflow's client makes them, a real receiver hears of every change once more than never, across a kill."""

import base64
import hashlib
import hmac
import http.server
import json
import sqlite3
import threading

import pytest
import requests
from conftest import Server, wait_until

LOCAL = ["--webhook-allow-private", "--webhook-allowed-schemes", "http,https"]


class Receiver:
    """An HTTP server that keeps what it is sent; `status` is what it answers."""

    def __init__(self):
        self.got, self.status = [], 200
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                self.end_headers()
                self.wfile.write(b"heard")

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def messages(self):
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver():
    r = Receiver()
    yield r
    r.server.shutdown()
    r.server.server_close()


@pytest.fixture
def listening(tmp_path):
    s = Server(tmp_path / "data", *LOCAL).start()
    yield s
    s.stop()


def test_client_makes_tests_and_hears(listening, mlflow_at, receiver):
    import mlflow

    client = mlflow_at(listening)
    hook = client.create_webhook(
        name="ci", url=receiver.url, events=["model_version.created", "model_version_alias.created"], description="d", secret="quiet"
    )
    assert (hook.name, hook.url, hook.description, str(hook.status)) == ("ci", receiver.url, "d", "ACTIVE") and hook.secret is None
    assert sorted(str(e) for e in hook.events) == ["model_version.created", "model_version_alias.created"]
    assert client.get_webhook(hook.webhook_id).webhook_id == hook.webhook_id
    assert [w.webhook_id for w in client.list_webhooks()] == [hook.webhook_id]

    result = client.test_webhook(hook.webhook_id)
    assert (result.success, result.response_status, result.response_body) == (True, 200, "heard")
    assert receiver.messages()[0]["data"]["name"] == "example_model"

    client.create_registered_model("wine")
    version = client.create_model_version("wine", "s3://bucket/wine", tags={"k": "v"}, description="first")
    client.set_registered_model_alias("wine", "champ", version.version)
    wait_until(lambda: len(receiver.got) == 3, what="two deliveries")
    head, body = receiver.got[1]
    signed = f"{head['X-MLflow-Delivery-Id']}.{head['X-MLflow-Timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(b"quiet", signed, hashlib.sha256).digest()).decode()
    assert head["X-MLflow-Signature"] == "v1," + digest
    created, alias = receiver.messages()[1:]
    assert (created["entity"], created["action"]) == ("model_version", "created")
    assert created["data"] == {
        "name": "wine", "version": "1", "source": "s3://bucket/wine", "run_id": None, "tags": {"k": "v"}, "description": "first",
    }  # fmt: skip
    assert alias["data"] == {"name": "wine", "alias": "champ", "version": "1"}

    client.update_webhook(hook.webhook_id, status="DISABLED", name="off")
    client.create_model_version("wine", "s3://bucket/wine")
    client.delete_webhook(hook.webhook_id)
    assert list(client.list_webhooks()) == []
    with pytest.raises(mlflow.exceptions.MlflowException, match="not found"):
        client.get_webhook(hook.webhook_id)
    assert len(receiver.got) == 3


def test_pending_deliveries_survive_a_kill(listening, mlflow_at, receiver):
    client = mlflow_at(listening)
    hook = client.create_webhook(name="ci", url=receiver.url, events=["model_version.created"], secret="do not show")
    receiver.status = 503
    client.create_registered_model("wine")
    for _ in range(3):
        client.create_model_version("wine", "s3://bucket/wine")
    waiting = f"/api/2.0/sluice/webhooks/{hook.webhook_id}/deliveries?state=pending"
    wait_until(lambda: listening.get(waiting).json()["deliveries"][0].get("last_response_status") == 503, what="a failed attempt")
    assert len(listening.get(waiting).json()["deliveries"]) == 3
    listening.kill()
    receiver.status = 200
    failed = len(receiver.got)
    listening.start()
    wait_until(lambda: len(receiver.got) >= failed + 3, what="the deliveries")
    assert [m["data"]["version"] for m in receiver.messages()[failed:]] == ["1", "2", "3"]
    assert len({head["X-MLflow-Delivery-Id"] for head, _ in receiver.got}) == 3
    wait_until(lambda: listening.get(waiting).json()["deliveries"] == [], what="nothing waits")

    receiver.status = 410
    client = mlflow_at(listening)
    client.create_model_version("wine", "s3://bucket/wine")
    dead = f"/api/2.0/sluice/webhooks/{hook.webhook_id}/deliveries"
    lost = wait_until(lambda: listening.get(dead).json()["deliveries"], what="a dead delivery")
    assert [(d["event"], d["name"], d["last_response_status"]) for d in lost] == [("model_version.created", "wine", 410)]
    receiver.status = 200
    assert listening.post(dead + "/replay", json={}).json() == {"replayed": 1}
    wait_until(lambda: receiver.messages()[-1]["data"]["version"] == "4", what="the replay")

    key = listening.data_dir / "webhook.key"
    assert key.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(listening.data_dir / "sluice.db") as db:
        (sealed,) = db.execute("SELECT secret FROM webhooks").fetchone()
    from cryptography.fernet import Fernet

    assert "do not show" not in sealed and Fernet(key.read_text().encode()).decrypt(sealed.encode()) == b"do not show"


def test_private_addresses_are_refused(shared_server):
    """Without the flags nothing inside the network is called, and nothing by http."""
    events = [{"entity": "MODEL_VERSION", "action": "CREATED"}]
    for url in [
        "http://169.254.169.254/latest/meta-data", "https://127.0.0.1/", "https://[::ffff:127.0.0.1]/", "https://0177.0.0.1/",
        "https://127.1/", "https://[64:ff9b::7f00:1]/", "https://public.example@127.0.0.1/", "https://localhost/",
    ]:  # fmt: skip
        answer = requests.post(shared_server.url + "/api/2.0/mlflow/webhooks", json={"name": "a", "url": url, "events": events}, timeout=30)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), url
    assert shared_server.api("GET", "webhooks") == {}
