"""Webhooks: names, addresses, events, secrets, states. No address needs a name server."""

from goldens import delete, each, get, patch, post

URL = "https://8.8.8.8/hook"
CREATED = {"entity": "MODEL_VERSION", "action": "CREATED"}


def hook(**body):
    keep = body.pop("keep", {})
    return post("webhooks", {k: v for k, v in ({"name": "hook", "url": URL, "events": [CREATED]} | body).items() if v is not None}, keep=keep)


def change(**body):
    return patch("webhooks/{wh}", body)


CASES = [
    hook(name="first", secret="s", description="d", keep={"wh": "webhook.webhook_id"}), hook(name="first"), hook(name=None), hook(name=""), hook(name="n" * 300), hook(name="a/b"), hook(name="a b"), hook(name="-a"), hook(name="ü"), hook(name=5), hook(name="x" * 63), hook(name="x" * 64), hook(name="."), hook(name="a_"),
    hook(url=None), *each(lambda u: hook(url=u), ["", "x", "http://8.8.8.8/", "ftp://8.8.8.8/", "https://", "https:///x", "https://127.0.0.1/", "https://10.0.0.1/", "https://192.168.1.1/", "https://169.254.169.254/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://0.0.0.0/", "https://u:p@8.8.8.8/", "https://8.8.8.8:99999/", "https://8.8.8.8/#f", "javascript:x",
                                                   "https://8.8.8.8/" + "x" * 600, "//8.8.8.8/", "https://localhost/", " https://8.8.8.8/", "HTTPS://8.8.8.8/x", "https://224.0.0.1/", "https://100.64.0.1/"]), hook(url=5),
    hook(events=None), hook(events=[]), hook(events="x"), hook(events=[5]), hook(events=[{}]), hook(events=[{"entity": "MODEL_VERSION"}]), hook(events=[{"action": "CREATED"}]), hook(events=[{"entity": "NONSENSE", "action": "CREATED"}]), hook(events=[{"entity": "MODEL_VERSION", "action": "NONSENSE"}]), hook(events=[{"entity": "MODEL_VERSION", "action": "SET"}]),
    hook(events=[{"entity": "REGISTERED_MODEL", "action": "DELETED"}]), hook(events=[{"entity": "model_version", "action": "created"}]), hook(events=[CREATED, CREATED]), hook(events=[{"entity": 1, "action": 1}]), hook(events=[{"entity": 99, "action": 1}]), hook(events=[{"entity": "BUDGET_POLICY", "action": "EXCEEDED"}]), hook(name="all", events=[
        CREATED, {"entity": "MODEL_VERSION_TAG", "action": "SET"}, {"entity": "MODEL_VERSION_ALIAS", "action": "DELETED"}, {"entity": "PROMPT_ALIAS", "action": "CREATED"}]),
    hook(status="DISABLED"), hook(status="ACTIVE"), hook(status="NONSENSE"), hook(status=9), hook(secret=""), hook(secret=5), hook(secret="s" * 1001), hook(description="d" * 5001), hook(description=5), post("webhooks"),
    get("webhooks/{wh}"), get("webhooks/none"), get("webhooks/" + "x" * 300), get("webhooks", {"max_results": -1}), get("webhooks", {"max_results": 1001}), get("webhooks", {"max_results": "x"}), get("webhooks", {"page_token": "x", "max_results": 2}),
    change(name="renamed"), change(name=""), change(name="a/b"), change(url="http://8.8.8.8/"), change(url="https://127.0.0.1/"), change(url=""), change(events=[]), change(events=[{"entity": "PROMPT_TAG", "action": "SET"}]), change(events=[{"entity": "PROMPT_TAG", "action": "CREATED"}]), change(status="DISABLED"), change(status="NONSENSE"), change(status=9), change(description=""),
    change(secret="t"), change(), change(name=5), patch("webhooks/none", {"name": "x"}), get("webhooks/{wh}"), post("webhooks/none/test"), post("webhooks/none/test", {"event": CREATED}),
    delete("webhooks/{wh}"), delete("webhooks/{wh}"), delete("webhooks/none"), get("webhooks/{wh}"), change(name="x"),
]
