"""The attacker: the cases of the security list, by number, against the built binary over raw sockets.

Files that nobody may see, change or delete stand beside the artifact root; every answer that refuses has MLflow's shape and tells
nothing of the inside. S11 and S13 are Go tests (cmd/sluice/setup, cmd/sluice/house_test.go), S18 too (cmd/sluice/table_test.go).
"""

import json
import os
import re
import socket
import time

import pytest
from conftest import EXAMPLES, Server, wait_until

API, AJAX = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"
PROXIES = ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts")
SECRET = "the crown jewels"
INSIDE = re.compile(r"\.go:|goroutine|openat|/tmp/|/root|no such file or directory|sqlite|SQL logic|syntax error near|os\.Root", re.IGNORECASE)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.text[:300]}"


def read_answer(stream):
    """One HTTP answer from a binary stream; None at its end."""
    line = stream.readline()
    if not line:
        return None
    status = int(line.split(b" ")[1])
    headers = {}
    while (line := stream.readline().rstrip(b"\r\n")) != b"":
        name, _, value = line.partition(b":")
        assert name.lower() not in (b"x-evil", b"set-cookie"), line
        headers[name.decode().lower()] = value.strip().decode("latin-1")
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(stream.readline(), 16):
            body += stream.read(size)
            stream.readline()
        stream.readline()
    elif status in (204, 304) or status < 200:
        body = b""
    else:
        body = stream.read(int(headers.get("content-length", 0)))
    return Answer(status, headers, body)


def raw(server, data, answers=1, timeout=30):
    """Sends bytes as they are; returns the answers, at most `answers` of them, or all up to the end of the connection for None."""
    host, port = server.url.split("://")[1].split(":")
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    with socket.create_connection((host, int(port)), timeout=timeout) as conn:
        try:
            conn.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has answered already, or will not
        got = []
        with conn.makefile("rb") as stream:
            while answers is None or len(got) < answers:
                try:
                    answer = read_answer(stream)
                except (ConnectionResetError, TimeoutError):
                    break
                if answer is None:
                    break
                got.append(answer)
    return got


def message(method, target, headers="", body=b"", version="1.1", host="localhost"):
    if isinstance(body, str):
        body = body.encode()
    head = f"{method} {target} HTTP/{version}\r\nHost: {host}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("utf-8", "surrogateescape") + body


def ask(server, method, target, headers="", body=b"", **kw):
    (answer,) = raw(server, message(method, target, headers, body, **kw))
    return answer


def post(server, target, doc, headers=""):
    return ask(server, "POST", target, "Content-Type: application/json\r\n" + headers, json.dumps(doc))


def refused(answer, *statuses, said=""):
    """Asserts an error in MLflow's shape with nothing of the inside; `said` are the client's own words, which it may repeat."""
    assert answer.status in (statuses or (400, 403, 404)), answer
    doc = answer.json()
    assert re.fullmatch("[A-Z_]+", doc["error_code"]) and doc["message"], answer
    assert SECRET not in answer.text and not INSIDE.search(answer.text.replace(said, "") if said else answer.text), answer
    return doc


class Fort:
    """A server with a run, a logged model and a registered version to aim at, and canaries around its artifacts."""

    def __init__(self, base):
        self.base = base
        self.server = Server(base / "data").start()
        self.root = base / "data" / "artifacts"
        self.canaries = [base / "secret", base / "passwd", base / "data" / "secret", base / "data" / "a" / "secret"]
        self.canaries += [base / "data" / "artifacts-beside" / "secret", self.root / "secret.keep"]
        for canary in self.canaries:
            canary.parent.mkdir(exist_ok=True)
            canary.write_text(SECRET)
        self.run = self.server.api("POST", "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        model = post(self.server, f"{API}/logged-models", {"experiment_id": "0", "name": "m", "source_run_id": self.run})
        self.model = model.json()["model"]["info"]["model_id"]
        for name in ("MLmodel", "model.onnx"):
            path = f"{PROXIES[0]}/artifacts/0/{self.run}/artifacts/model/{name}"
            assert ask(self.server, "PUT", path, body=(EXAMPLES / "v2" / name).read_bytes()).status == 200
        self.server.api("POST", "registered-models/create", {"name": "keep"})
        source = f"mlflow-artifacts:/0/{self.run}/artifacts/model"
        self.server.api("POST", "model-versions/create", {"name": "keep", "source": source, "run_id": self.run})
        self.before = self.around()

    def around(self):
        """Names of everything around the artifacts that is not the server's own, and of everything in them."""
        own = re.compile(r"sluice\.db|predictions|models|lock")
        beside = {str(p.relative_to(self.base)) for p in self.base.rglob("*")}
        return {p for p in beside if not own.match(p.removeprefix("data/"))}

    def holds(self):
        """Asserts that no canary changed and that nothing appeared or vanished."""
        for canary in self.canaries:
            assert canary.read_text() == SECRET
        assert self.around() == self.before
        assert self.server.get("/health").text == "OK"

    def path_calls(self, raw_path):
        """Every call that takes a path from the client, with the path in its place: (request, may be 501)."""
        q = raw_path.replace("&", "%26").replace("#", "%23")
        calls = []
        for proxy in PROXIES:
            calls += [(m, f"{proxy}/artifacts/{raw_path}", b"evil", False) for m in ("GET", "PUT", "DELETE")]
            calls += [("POST", f"{proxy}/mpu/{verb}/{raw_path}", b"{}", True) for verb in ("create", "complete", "abort")]
            calls += [("GET", f"{proxy}/presigned/{raw_path}", b"", True), ("GET", f"{proxy}/artifacts?path={q}", b"", False)]
        for api in (API, AJAX):
            calls += [
                ("GET", f"{api}/artifacts/list?run_id={self.run}&path={q}", b"", False),
                ("GET", f"{api}/logged-models/{self.model}/artifacts/directories?artifact_directory_path={q}", b"", False),
            ]
        calls += [
            ("GET", f"/get-artifact?run_uuid={self.run}&path={q}", b"", False),
            ("GET", f"/get-artifact?run_id={self.run}&path={q}", b"", False),
            ("GET", f"/model-versions/get-artifact?name=keep&version=1&path={q}", b"", False),
            ("GET", f"{AJAX}/logged-models/{self.model}/artifacts/files?artifact_file_path={q}", b"", False),
            ("POST", f"{AJAX}/upload-artifact?run_uuid={self.run}&path={q}", b"evil", False),
            ("GET", f"/static-files/{raw_path}", b"", False),
        ]
        return calls

    def refuses(self, paths):
        for path in paths:
            for method, target, body, may_be_absent in self.path_calls(path):
                headers = "Content-Type: application/json\r\n" if may_be_absent else ""
                answer = ask(self.server, method, target, headers, body)
                try:
                    refused(answer, 400, 404, *([501] if may_be_absent else []))
                    # 404 is for what is no path of a file here; a path that leads out is 400.
                    assert answer.status != 404 or "/static-files/" in target or method == "GET" and not re.search(r"\.\.|%2e", target, re.I)
                except AssertionError as error:
                    raise AssertionError(f"{method} {target}: {error}") from error
        self.holds()


@pytest.fixture(scope="module")
def fort(tmp_path_factory):
    f = Fort(tmp_path_factory.mktemp("fort"))
    yield f
    log = "\n".join(f.server.out)
    assert f.server.stop() == 0, log
    assert "panic" not in log and "level=ERROR" not in log, log


def test_S01_paths_out_of_a_run(fort):
    fort.refuses(["../secret", "../../../../../../etc/passwd", "a/../../secret", "model/../../../../../secret", "/etc/passwd", "..", "a/.."])


def test_S02_sources_that_point_at_local_files(fort):
    base, server = fort.base, fort.server
    sources = [
        "file:///etc/", "file:/etc", "/etc", str(base), f"file://{base}", f"file://{base}/data", f"{fort.root}/../", f"file://{fort.root}/../secret",
        "file://localhost/etc", "FILE:///etc", "file:///proc/self", "../..", "./secret", "~/x", "C:\\secret", "\\\\h\\s", "file:////etc",
        f"file://{fort.root}", f"{fort.root}",
    ]  # fmt: skip
    for i, source in enumerate(sources):
        name = f"s02-{i}"
        server.api("POST", "registered-models/create", {"name": name})
        for extra in ({}, {"run_id": fort.run}, {"tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}, {"model_id": fort.model}):
            answer = post(server, f"{API}/model-versions/create", {"name": name, "source": source, **extra})
            if answer.status != 200:
                refused(answer, said=str(base))
                continue
            version = answer.json()["model_version"]["version"]
            for path in ("passwd", "secret", "secret.keep", "sluice.db", "environ"):
                refused(ask(server, "GET", f"/model-versions/get-artifact?name={name}&version={version}&path={path}"))
    for location in (f"file://{base}", "file:///etc", "/etc", str(base / "data"), f"file://{fort.root}/../.."):
        answer = post(server, f"{API}/experiments/create", {"name": f"s02 {location}", "artifact_location": location})
        if answer.status != 200:
            refused(answer, said=str(base))
            continue
        run = server.api("POST", "runs/create", {"experiment_id": answer.json()["experiment_id"]})["run"]["info"]["run_id"]
        for target in (f"{API}/artifacts/list?run_id={run}", f"/get-artifact?run_id={run}&path=secret"):
            refused(ask(server, "GET", target))
        refused(ask(server, "POST", f"{AJAX}/upload-artifact?run_uuid={run}&path=evil", body=b"evil"))
    fort.holds()


LOCATIONS = {
    "S03": [
        "mlflow-artifacts://h/../../..", "mlflow-artifacts:/../x", "mlflow-artifacts:/a/../../x", "s3:/b/a/../../x", "s3://b/../x",
        "http://h/api/2.0/mlflow-artifacts/artifacts/../..", "mlflow-artifacts:../x", "mlflow-artifacts:/a/./../../x", "runs:/x/../..",
        "models:/../x", "mlflow-artifacts:/./x/..",
    ],
    "S04": ["\\..\\..\\file", "mlflow-artifacts:/..\\x", "mlflow-artifacts:/a\\..\\..\\x", "C:\\x", "\\\\h\\s", "mlflow-artifacts:\\..\\x", "file:\\\\h\\s"],
    "S05": [
        "http:///#/../../../etc/", "mlflow-artifacts:/a#/../../etc", "mlflow-artifacts:/a;..%2F..%2Fetc", "mlflow-artifacts:/a;/../x",
        "mlflow-artifacts://u:p@h/x", "mlflow-artifacts://h;x/../y", "s3://b/#/../..",
    ],
    "S06": ["http://h/p?/../../../../etc", "mlflow-artifacts:/a?/../..", "mlflow-artifacts:/?x=/../..", "file:///a?/../../etc"],
    "S07": ["mlflow-artifacts:/%2e%2e/x", "mlflow-artifacts:/%252e%252e/x", "mlflow-artifacts:/%25252e%25252e%25252fx", "file:///%2e%2e/etc", "mlflow-artifacts:/%c0%ae%c0%ae/x"],
    "S08": ["mlflow-artifacts:/a\u0000", "mlflow-artifacts:/a\r\nX-Evil: 1", "mlflow-artifacts:/\t../x", "mlflow-artifacts:/%00", "mlflow-artifacts:/%0d%0aX-Evil:1"],
}  # fmt: skip


@pytest.mark.parametrize("case", LOCATIONS)
def test_S03_to_S08_locations_and_sources(fort, case):
    name = f"locations-{case}"
    fort.server.api("POST", "registered-models/create", {"name": name})
    for i, location in enumerate(LOCATIONS[case]):
        for doc in ({"name": f"{case}-{i}", "artifact_location": location},):
            refused(post(fort.server, f"{API}/experiments/create", doc), 400)
        for extra in ({}, {"run_id": fort.run}, {"model_id": fort.model}):
            answer = post(fort.server, f"{API}/model-versions/create", {"name": name, "source": location, **extra})
            assert answer.status != 200, f"{location!r} became a version: {answer}"
            refused(answer, 400, 404)
    fort.holds()


def test_S04_backslashes_and_drives(fort):
    fort.refuses(
        ["..\\secret", "%5c..%5c..%5csecret", "a%5c..%5c..%5csecret", "..%5csecret", "%255c..%255csecret", "C:%5csecret", "C:/secret", "c%3a/secret",
         "%5c%5chost%5cshare", "a/..%5c..%5csecret"]
    )  # fmt: skip


def test_S05_fragments_and_parameters_in_paths(fort):
    fort.refuses(["a;/../../secret", "a%23/../../secret", "%23/../../secret", "a;..%2F..%2Fsecret", "..%3b/..%2fsecret"])


def test_S06_queries_in_paths(fort):
    fort.refuses(["a%3F/../../secret", "%3F/../../secret", "..%2f%3f/secret"])


def test_S07_paths_are_decoded_once(fort):
    fort.refuses(
        ["%2e%2e/secret", "%2E%2E%2Fsecret", "..%2fsecret", "a%2f..%2f..%2fsecret", "%252e%252e%252fsecret", "%252E%252E/secret",
         "%25252e%25252e%25252fsecret", ".%2e/secret", "%2e./secret", "%2fetc/passwd", "%252fetc/passwd", "file:///etc/passwd", "FILE%3a%2f%2f/etc/passwd",
         "%c0%ae%c0%ae/secret", "%c0%af", "%ff", "%e0%80%ae"]
    )  # fmt: skip
    path = f"{PROXIES[0]}/artifacts/0/{fort.run}/artifacts/"
    for written, name in {"a%2525b": "a%25b", "a+b": "a+b", "a%2Bc": "a+c", "a%20b": "a b", "%C3%A9": "é"}.items():
        assert ask(fort.server, "PUT", path + written, body=b"x").status == 200
        file = fort.root / "0" / fort.run / "artifacts" / name
        assert file.read_bytes() == b"x"
        assert ask(fort.server, "DELETE", path + written).status == 200 and not file.exists()
    fort.holds()


def test_S08_nul_and_control_characters(fort):
    fort.refuses(["a%00", "%00", "MLmodel%00.png", "%09..", "a%0d%0aX-Evil:%201", "%7f", "%1b[2J"])
    for name in ("x\r\nX-Evil: 1", "x\0y", "\t..", "a\x7f", "a\u2028b\r\n"):
        for target, doc in (
            (f"{API}/registered-models/create", {"name": name}),
            (f"{API}/experiments/create", {"name": name}),
            (f"{API}/runs/set-tag", {"run_id": fort.run, "key": name, "value": name}),
        ):
            answer = post(fort.server, target, doc)
            assert answer.status in (200, 400), answer
    for header in ("X-Request-Id: a\x01b", "X-Request-Id: " + "a" * 5000, "X-Sluice-Endpoint: \x01", "Traceparent: \x7f"):
        answer = ask(fort.server, "POST", "/invocations", header + "\r\nContent-Type: application/json\r\n", b"{}")
        assert 400 <= answer.status < 500 and "\x01" not in str(answer.headers), answer
    fort.holds()


def test_S09_writes_stay_inside(fort):
    server = fort.server
    name = "../../../../s09"
    for doc in ({"name": name}, {"name": "/etc/x"}, {"name": "a/../b"}, {"name": ".."}, {"name": "."}):
        answer = post(server, f"{API}/registered-models/create", doc)
        if answer.status == 200:  # a name like any other: it never becomes a path
            assert ask(server, "GET", f"{API}/registered-models/get?name={doc['name']}").status == 200
        else:
            refused(answer, 400)
    for run in ("../..", "..", "%2e%2e", "a/b"):
        refused(ask(server, "POST", f"{AJAX}/upload-artifact?run_uuid={run}&path=x", body=b"evil"))
        refused(ask(server, "GET", f"/get-artifact?run_id={run}&path=secret"))
        refused(ask(server, "GET", f"{AJAX}/logged-models/{run}/artifacts/files?artifact_file_path=secret"))
    for i, doc in enumerate([{"experiment_id": "../.."}, {"experiment_id": "0", "run_id": "../../x"}, {"experiment_id": "0", "run_name": "../../x"}]):
        answer = post(server, f"{API}/runs/create", doc)
        assert (answer.status == 200) == (i > 0), answer
    # A file where a folder is needed, a folder where a file is.
    put = f"{PROXIES[0]}/artifacts/0/{fort.run}/artifacts/model"
    refused(ask(server, "PUT", put, body=b"evil"), 400, 409)
    refused(ask(server, "PUT", put + "/MLmodel/x", body=b"evil"), 400, 409)
    refused(ask(server, "GET", put), 400, 404)
    refused(ask(server, "PUT", f"{PROXIES[0]}/artifacts/", body=b"evil"), 400)
    refused(ask(server, "DELETE", f"{PROXIES[0]}/artifacts/"), 400)
    refused(ask(server, "PUT", f"{PROXIES[0]}/artifacts/{'a/' * 3000}x", body=b"evil"), 400, 414, 431)
    refused(ask(server, "PUT", f"{PROXIES[0]}/artifacts/{'a' * 300}", body=b"evil"), 400)
    fort.holds()


def test_S10_links_are_not_followed(fort):
    trap = fort.root / "0" / "trap"
    trap.mkdir()
    (trap / "leaf").symlink_to(fort.base / "secret")
    (trap / "dir").symlink_to(fort.base)
    (trap / "rel").symlink_to("../../../../data")
    os.mkfifo(trap / "pipe")
    artifacts = fort.root / "0" / fort.run / "artifacts"
    (artifacts / "leak").symlink_to(fort.base)
    before = fort.before
    fort.before = fort.around()
    try:
        for path in ("leaf", "dir/secret", "rel/secret", "rel/sluice.db", "pipe", "dir/new", "dir"):
            for proxy in PROXIES:
                for method in ("GET", "PUT"):
                    refused(ask(fort.server, method, f"{proxy}/artifacts/0/trap/{path}", body=b"evil"), 400, 404)
                if "/" in path:
                    refused(ask(fort.server, "DELETE", f"{proxy}/artifacts/0/trap/{path}"), 400, 404)
        for target in (
            f"/get-artifact?run_id={fort.run}&path=leak/secret",
            f"{API}/artifacts/list?run_id={fort.run}&path=leak",
        ):
            answer = ask(fort.server, "GET", target)
            assert SECRET not in answer.text and "passwd" not in answer.text, answer
        refused(ask(fort.server, "POST", f"{AJAX}/upload-artifact?run_uuid={fort.run}&path=leak/evil", body=b"evil"), 400)
        listed = ask(fort.server, "GET", f"{PROXIES[0]}/artifacts?path=0/trap")
        assert listed.status == 200 and not re.search("leaf|dir|rel|pipe", json.dumps(listed.json())), listed
        fort.holds()
        assert ask(fort.server, "DELETE", f"{PROXIES[0]}/artifacts/0/trap").status == 200  # the links go, not what they point at
        assert not trap.exists()
    finally:
        (artifacts / "leak").unlink()
        fort.before = before
    fort.holds()


def chunked(method, target, total, headers="", size=1 << 16):
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode()
    chunk = b"%x\r\n%s\r\n" % (size, b" " * size)
    return head + chunk * (total // size + 1) + b"0\r\n\r\n"


def test_S12_limits_hold_without_a_length(fort):
    import gzip

    json_type = "Content-Type: application/json\r\n"
    for target, most in ((f"{API}/runs/log-batch", 35 << 20), ("/api/2.0/serving-endpoints", 2 << 20), (f"{AJAX}/upload-artifact?run_uuid={fort.run}&path=x", 11 << 20)):
        (answer,) = raw(fort.server, chunked("POST", target, most, "" if "upload" in target else json_type))
        refused(answer, 413)
    bomb = gzip.compress(b'{"inputs": [' + b" " * (80 << 20) + b"]}")
    assert len(bomb) < 1 << 20
    server = Server(fort.base / "demo", "--demo").start()
    try:
        server.ready()
        answer = ask(server, "POST", "/invocations", json_type + "Content-Encoding: gzip\r\n", bomb)
        refused(answer, 400, 413)
        (answer,) = raw(server, chunked("POST", "/invocations", 65 << 20, json_type))
        refused(answer, 413)
        many = gzip.compress(bomb)
        refused(ask(server, "POST", "/invocations", json_type + "Content-Encoding: gzip, gzip\r\n", many), 400, 415)
    finally:
        server.stop()
        import shutil

        shutil.rmtree(fort.base / "demo")
    fort.holds()


def test_S22_artifacts_are_inert_in_a_browser(fort):
    path = f"0/{fort.run}/artifacts/x"
    for name in ("evil.html", "evil.svg", "evil.xml", "evil.xhtml", "evil.pdf", "evil", "a%0b.html".replace("%0b", "-"), "%22q.html"):
        put = f"{PROXIES[0]}/artifacts/{path}/{name}"
        assert ask(fort.server, "PUT", put, body=b"<script>alert(1)</script>").status == 200
        for target in (put, f"{PROXIES[1]}/artifacts/{path}/{name}", f"/get-artifact?run_id={fort.run}&path=x/{name}"):
            answer = ask(fort.server, "GET", target)
            assert answer.status == 200 and answer.headers["content-disposition"].startswith("attachment; filename="), answer.headers
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert ask(fort.server, "DELETE", f"{PROXIES[0]}/artifacts/{path}").status == 200
    script = "<script>alert(1)</script>"
    for target in (f"/{script}", f"/get-artifact?run_id={script}&path=a", f"{API}/runs/get?run_id={script}", f"/static-files/{script}", f"{API}/{script}"):
        answer = ask(fort.server, "GET", target.replace("<", "%3C").replace(">", "%3E"))
        refused(answer)
        assert answer.headers["content-type"] == "application/json" and answer.headers["x-content-type-options"] == "nosniff"
    fort.holds()


def test_S22_the_pages_say_what_may_run(fort):
    for target in ("/", "/static-files/index.html"):
        answer = ask(fort.server, "GET", target)
        policy = dict(p.strip().partition(" ")[::2] for p in answer.headers["content-security-policy"].split(";"))
        assert "'unsafe-inline'" not in policy["script-src"] and policy["object-src"] == "'none'" and policy["base-uri"] == "'self'"
        assert policy["frame-ancestors"] == "'self'" and policy["default-src"] == "'self'" and answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"] == "same-origin"
    assert ask(fort.server, "GET", f"{API}/experiments/get?experiment_id=0").headers["x-content-type-options"] == "nosniff"


EVIL_HOSTS = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80", "localhost@evil.example", "10.0.0.1.nip.io", ""]


def test_S23_foreign_hosts(fort):
    for host in EVIL_HOSTS:
        for target in ("/", "/metrics", "/static-files/manifest.json", f"{API}/experiments/get?experiment_id=0", "/api/2.0/serving-endpoints", "/no/such"):
            refused(ask(fort.server, "GET", target, host=host), 403, 400)
            refused(ask(fort.server, "GET", target, "X-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n", host=host), 403, 400)
        refused(ask(fort.server, "POST", "/invocations", "Content-Type: application/json\r\n", b"{}", host=host), 403, 400)
        refused(ask(fort.server, "GET", "http://evil.example/metrics", host="localhost"), 403)
    assert ask(fort.server, "GET", "/health", host="evil.example").status == 200  # probes ask by address


def test_S23_foreign_origins(fort):
    create = f"{API}/experiments/create"
    for origin in ("http://evil.example", "null", "http://localhost.evil.example", "https://evil.example", "http://127.0.0.1.evil.example", "file://", "http://localhost:5000@evil.example"):
        for target in (create, create.replace("/api/", "/ajax-api/"), "/invocations", "/api/2.0/serving-endpoints", f"{AJAX}/upload-artifact?run_uuid={fort.run}&path=x"):
            refused(ask(fort.server, "POST", target, f"Origin: {origin}\r\nContent-Type: application/json\r\n", b'{"name":"csrf"}'), 403)
            refused(ask(fort.server, "OPTIONS", target, f"Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n"), 403)
        for method in ("PUT", "DELETE"):
            refused(ask(fort.server, method, f"{PROXIES[0]}/artifacts/0/{fort.run}", f"Origin: {origin}\r\n", b"evil"), 403)
        for target in ("/", "/metrics", f"{API}/experiments/get?experiment_id=0"):
            answer = ask(fort.server, "GET", target, f"Origin: {origin}\r\n")
            assert "access-control-allow-origin" not in answer.headers and "access-control-allow-credentials" not in answer.headers
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "TEXT/PLAIN; charset=utf-8", "text/plain;application/json"):
        for target in (create, create.replace("/api/", "/ajax-api/"), f"{API}/runs/create", "/graphql", "/api/2.0/serving-endpoints"):
            refused(ask(fort.server, "POST", target, f"Content-Type: {kind}\r\n", b'{"name":"csrf","experiment_id":"0"}'), 400, 403, 404, 415)
    for site in ("cross-site", "same-site"):
        refused(ask(fort.server, "POST", create, f"Sec-Fetch-Site: {site}\r\nContent-Type: application/json\r\n", b'{"name":"csrf"}'), 403)
        refused(ask(fort.server, "DELETE", f"{PROXIES[0]}/artifacts/0/{fort.run}", f"Sec-Fetch-Site: {site}\r\n"), 403)
    names = [e["name"] for e in fort.server.api("POST", "experiments/search", {"max_results": 1000})["experiments"]]
    assert "csrf" not in names
    fort.holds()


SEARCHES = [
    ("runs/search", "POST", {"experiment_ids": ["0"]}),
    ("experiments/search", "POST", {"max_results": 5}),
    ("logged-models/search", "POST", {"experiment_ids": ["0"]}),
    ("registered-models/search", "GET", {}),
    ("model-versions/search", "GET", {}),
]


def quoted(doc):
    from urllib.parse import urlencode

    return urlencode(doc, doseq=True)


def test_S24_searches_are_not_code(fort):
    for path, method, base in SEARCHES:

        def search(**more):
            doc = {**base, **more}
            if method == "GET":
                return ask(fort.server, "GET", f"{API}/{path}?{quoted(doc)}")
            return post(fort.server, f"{API}/{path}", doc)

        for text in (
            "name = 'x'; DROP TABLE runs", "name = 'x' OR 1=1", "name = 'a' UNION SELECT 1", "name = 'x' --", "name LIKE 'a' ESCAPE '\\'", "1=1", "name = x", "name = '",
            "name = 'it''s'", "tags.`a`b` = 'x'", "tags.'x') OR ('1'='1' = 'x'", "name = 'x' AND", "((((name = 'x'))))", "\x00", "name = 'x\x00y'", "name = " + "(" * 5000,
            "attributes.`name\"` = 'x'", "name IN ('a', 'b'; --)", "name IN (" + ",".join(["'x'"] * 50_000) + ")", " AND ".join(["name = 'x'"] * 2_000),
            "name LIKE '" + "%" * 5_000 + "x'", "name ILIKE '" + "%_" * 2_000 + "'",
        ):  # fmt: skip
            if method == "GET" and len(quoted({"f": text})) > 20_000:
                text = text[:5_000]
            began = time.monotonic()
            answer = search(filter=text)
            assert answer.status in (200, 400), f"{path} {text[:80]!r}: {answer}"
            if answer.status == 400:
                refused(answer)
            assert time.monotonic() - began < 20, f"{path} {text[:80]!r}"
        for order in (["name; DROP TABLE runs"], ["name DESC, (SELECT 1)"], ["metrics.`x` DESC; --"], ["name"] * 5_000 if method == "POST" else ["x"] * 50, ["1"], [""], ["name ASC DESC"], ["tags.`a\"b`"]):
            answer = search(order_by=order)
            assert answer.status in (200, 400), f"{path} {order[:2]}: {answer}"
        for token in ("x", "../../etc", "' OR 1=1", "e30=", "AAAA" * 1_000, "-1", "9" * 30):
            answer = search(page_token=token)
            assert answer.status in (200, 400), f"{path} {token}: {answer}"
        for most in (-1, 0, 10**12, 2**63, "1; DROP TABLE runs"):
            refused(search(max_results=most), 400) if most != 0 else None
    assert fort.server.api("POST", "experiments/search", {"max_results": 1})["experiments"]
    # The body is a hundred thousand conditions: turned away or answered, soon, and not with the database's words.
    answer = post(fort.server, f"{API}/runs/search", {"experiment_ids": ["0"], "filter": " AND ".join(["params.a = 'x'"] * 100_000)})
    refused(answer, 400)
    fort.holds()


def test_S28_the_end_of_a_request_is_where_it_says(fort):
    inner = b"GET /api/2.0/mlflow/experiments/get?experiment_id=0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = "POST /health HTTP/1.1\r\nHost: localhost\r\n"
    for name, text in {
        "both": f"{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "both, other order": f"{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "two lengths": f"{head}Content-Length: 0\r\nContent-Length: {len(inner)}\r\n\r\n",
        "two same lengths": f"{head}Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "list of lengths": f"{head}Content-Length: 0, {len(inner)}\r\n\r\n",
        "signed length": f"{head}Content-Length: +5\r\n\r\n",
        "negative length": f"{head}Content-Length: -1\r\n\r\n",
        "hex length": f"{head}Content-Length: 0x5\r\n\r\n",
        "huge length": f"{head}Content-Length: 99999999999999999999\r\n\r\n",
        "blank before the colon": f"{head}Content-Length : 5\r\n\r\n",
        "two encodings": f"{head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "unknown encoding": f"{head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "gzip, chunked": f"{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "tab before chunked": f"{head}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "two hosts": f"{head}Host: evil.example\r\nContent-Length: 0\r\n\r\n",
        "no host": "GET /metrics HTTP/1.1\r\n\r\n",
        "bad chunk": f"{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "negative chunk": f"{head}Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        "huge chunk": f"{head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "chunked 1.0": head.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "null in a header": f"{head}X-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
    }.items():
        got = raw(fort.server, text.encode() + inner, answers=None, timeout=5)
        assert len(got) == 1, f"{name}: {got}"
        assert 400 <= got[0].status < 500 or got[0].status == 501, f"{name}: {got}"
        assert "experiment" not in got[0].text or "experiment_id=0" in got[0].text, f"{name}: {got}"


def test_S28_an_unread_body_is_no_request(fort):
    """What a handler did not read must not be taken for the next request of the connection."""
    inner = b"DELETE /api/2.0/mlflow-artifacts/artifacts/0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    for size in (0, 1_000, 70_000, 300_000, 3_000_000):
        body = b"x" * size + inner
        for target in ("/no/such", "/health", f"{API}/no-such", "/api/2.0/mlflow-artifacts/mpu/create/x", "/api/2.0/serving-endpoints"):
            for data in (
                message("POST", target, "Content-Type: application/json\r\n", body),
                f"POST {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n",
            ):
                got = raw(fort.server, data + b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", answers=None, timeout=10)
                assert 1 <= len(got) <= 2 and got[0].status >= 400, got
                assert len(got) == 1 or re.fullmatch(r"\d+\.\d+\.\d+", got[1].text), got
    fort.holds()


def test_S28_forwarded_headers_are_words_of_the_client(fort):
    spoof = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-Host: localhost\r\nX-Model-Version: 1\r\n"
    refused(ask(fort.server, "GET", "/metrics", spoof, host="evil.example"), 403)
    plain, spoofed = (ask(fort.server, "GET", f"{API}/experiments/get?experiment_id=0", h) for h in ("", spoof))
    assert plain.json() == spoofed.json()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A server that predicts."""
    s = Server(tmp_path_factory.mktemp("demo") / "data", "--demo").start().ready()
    yield s
    log = "\n".join(s.out)
    assert s.stop() == 0, log
    assert "panic" not in log and "level=ERROR" not in log, log


ROW = [13.9, 1.68, 2.12, 16.0, 101.0, 3.1, 3.39, 0.21, 2.14, 6.1, 0.91, 3.33, 985.0]
COLUMNS = ["alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols", "proanthocyanins",
           "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline"]  # fmt: skip


def hostile_bodies():
    good = {"columns": COLUMNS, "data": [ROW]}
    whole = json.dumps({"dataframe_split": good})
    number = lambda text: whole.replace("13.9", text)  # noqa: E731
    yield from ((kind, body) for kind in ("application/json", "application/json; charset=utf-8") for body in (
        "", " ", "null", "7", "[]", "{}", '"x"', "{", whole[:-5], whole + "x", whole + whole, "[" * 100_000, '{"inputs":' * 50_000, '{"inputs": ' + "[" * 3_000 + "]" * 3_000 + "}",
        b"\xff\xfe{\x00}\x00", b'{"inputs": ["\xff"]}', b"\x00" * 1_000, b"\xef\xbb\xbf" + whole.encode(), '{"inputs": ["\\ud800"]}', '{"inputs": NaN}', '{"inputs": [[Infinity]]}',
        number("1e400"), number("-1e400"), number("9" * 5_000), number("1e-5000"), number("NaN"), number("null"), number("true"), number('"13.9"'), number("{}"), number("[]"), number('"\\u0000"'),
        number("0x10"), number("1_000"), number("01"), number("1."), number(".5"), number("+1"), number("--1"), number("1e"),
        json.dumps({"dataframe_split": good, "inputs": [[1]]}), json.dumps({"dataframe_split": {**good, "columns": COLUMNS[:-1]}}), json.dumps({"dataframe_split": {**good, "columns": [COLUMNS[0]] * 13}}),
        json.dumps({"dataframe_split": {**good, "data": [ROW, ROW[:-1]]}}), json.dumps({"dataframe_split": {**good, "data": [[]]}}), json.dumps({"dataframe_split": {**good, "data": "x"}}), json.dumps({"dataframe_split": []}),
        json.dumps({"dataframe_split": {"data": [ROW]}}), json.dumps({"dataframe_split": {"columns": COLUMNS}}), json.dumps({"dataframe_records": [{}]}), json.dumps({"dataframe_records": [7]}), json.dumps({"dataframe_records": {}}),
        json.dumps({"dataframe_records": [dict(zip(COLUMNS, ROW)), {"x": 1}]}), json.dumps({"instances": [[1] * 12]}), json.dumps({"instances": {}}), json.dumps({"inputs": {c: [1.0] * (i + 1) for i, c in enumerate(COLUMNS)}}),
        json.dumps({"inputs": {"nope": [1]}}), json.dumps({"inputs": [[[ROW]]]}), json.dumps({"inputs": "x"}), json.dumps({"dataframe_split": good, "params": 7}), json.dumps({"dataframe_split": good, "params": {"a": "b"}}),
        whole[:-1] + ', "dataframe_split": 7}', '{"dataframe_split": {"columns": [' + ",".join(['"x"'] * 100_000) + '], "data": []}}', "{" + ",".join(f'"k{i}": 1' for i in range(50_000)) + "}",
    ))  # fmt: skip
    csv = ",".join(COLUMNS) + "\n" + ",".join(map(str, ROW)) + "\n"
    for body in ("", "\n", "x", csv.replace("13.9", '"'), csv.replace("13.9", "abc"), csv + "1,2\n", "," * 100_000, "a\n" * 50_000, b"\xff\xfe\n\x00", csv.replace("\n", "\x00"), '"' * 9_999, csv.replace("alcohol", "ash")):
        yield "text/csv", body
    for body in (b"", b"PAR1", b"PAR1" + b"\xff" * 1_000 + b"PAR1", b"PAR1\x00\x00\x00\x00\xff\xff\xff\x7fPAR1", b"PAR1" + b"\x00" * 64 + b"\x40\x00\x00\x00PAR1", whole.encode()):
        yield "application/vnd.apache.parquet", body
    for kind in ("", "text/html", "application/xml", "application/json-patch+json", "x" * 5_000, "application/json\x01", "multipart/form-data", "application/octet-stream", "*/*"):
        yield kind, whole


def test_no_body_breaks_a_prediction(demo):
    for kind, body in hostile_bodies():
        header = f"Content-Type: {kind}\r\n" if kind else ""
        answer = ask(demo, "POST", "/invocations", header, body)
        what = f"{kind[:40]} {body[:80]!r}"
        assert answer.status in (200, 400, 413, 415, 422), f"{what}: {answer}"
        if answer.status != 200:
            doc = answer.json()
            assert doc["error_code"] and doc["message"] and not INSIDE.search(answer.text), f"{what}: {answer}"
    for encoding, body in (("gzip", b""), ("gzip", b"\x1f\x8b"), ("gzip", b"not gzip"), ("br", b"x"), ("gzip, br", b"x"), ("deflate", b"x"), ("x" * 3_000, b"x")):
        refused(ask(demo, "POST", "/invocations", f"Content-Type: application/json\r\nContent-Encoding: {encoding}\r\n", body), 400, 415)
    good = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [ROW]}})
    for header in (
        "X-Sluice-Timeout-Ms: -1", "X-Sluice-Timeout-Ms: x", "X-Sluice-Timeout-Ms: 99999999999999999999", "X-Sluice-Timeout-Ms: 1e3", "X-Sluice-Priority: x", "X-Sluice-Endpoint: nope",
        "X-Sluice-Endpoint: ../x", "X-Sluice-Endpoint: wine\r\nX-Sluice-Endpoint: nope", "X-Sluice-Sticky-Key: " + "k" * 20_000, "traceparent: 00-zz-zz-zz", "traceparent: " + "0" * 5_000, "tracestate: " + "a=b," * 2_000,
        "Authorization: " + "A" * 20_000, "Authorization: Basic !!!", "Authorization: Bearer", "Cookie: " + "a=b;" * 5_000, "Accept: \x01", "Expect: 200-maybe", "Connection: upgrade\r\nUpgrade: websocket", "Content-Length : 5", "X: " + "x" * 60_000,
    ):  # fmt: skip
        answer = ask(demo, "POST", "/invocations", f"Content-Type: application/json\r\n{header}\r\n", good)
        assert answer.status == 200 or answer.status == 417 or refused(answer, 400, 404, 413, 422, 431, 504), f"{header[:60]}: {answer}"
    assert ask(demo, "POST", "/invocations", "Content-Type: application/json\r\n", good).status == 200


def test_clumsy_protocols(demo):
    """HTTP/1.0, pipelining, many headers and parameters, bodies in pieces, half requests: answered or closed, and nobody else notices."""
    good = json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [ROW]}}).encode()
    kind = "Content-Type: application/json\r\n"
    old = ask(demo, "POST", "/invocations", kind, good, version="1.0")
    assert old.status == 200 and "transfer-encoding" not in old.headers
    assert raw(demo, "GET /version HTTP/1.0\r\n\r\n")[0].status in (200, 400, 403)
    one = message("POST", "/invocations", kind, good)
    got = raw(demo, one * 50, answers=50)
    assert [a.status for a in got] == [200] * 50
    mixed = message("GET", "/version") + message("POST", "/invocations", kind, b"{") + one + message("GET", "/nope") + message("GET", "/health")
    assert [a.status for a in raw(demo, mixed, answers=5)] == [200, 400, 200, 404, 200]
    pieces = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(good[i : i + 7]), good[i : i + 7]) for i in range(0, len(good), 7))
    chunked_head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\n{kind}Transfer-Encoding: chunked\r\n\r\n".encode()
    assert raw(demo, chunked_head + pieces + b"0\r\nTrailer: x\r\n\r\n")[0].status in (200, 400)
    for broken in (b"5\r\nabc", b"zz\r\n", b"-5\r\n", b"5 \r\nabcde\r\n", b"5\nabcde\n0\n\n", b"\r\n", b"5\r\nabcdeXX0\r\n\r\n"):
        for answer in raw(demo, chunked_head + broken + b"\r\n0\r\n\r\n", answers=None, timeout=3):
            assert answer.status < 500, f"{broken}: {answer}"
    many = "&".join(f"k{i}=v" for i in range(3_000))
    for target in (f"/api/2.0/mlflow/runs/search?{many}", f"/api/2.0/mlflow/registered-models/search?{many}", f"/get-artifact?{many}", f"/invocations?{many}", f"/metrics?{many}", f"/?{many}"):
        assert ask(demo, "GET", target).status < 500
    headers = "".join(f"X-{i}: v\r\n" for i in range(1_000))
    assert ask(demo, "GET", "/version", headers).status in (200, 431)
    for text in (f"GET /{'a' * 100_000} HTTP/1.1\r\nHost: localhost\r\n\r\n", f"GET /?{'&a=b' * 10_000} HTTP/1.1\r\nHost: localhost\r\n\r\n", f"GET / HTTP/1.1\r\nHost: localhost\r\nX: {'x' * 100_000}\r\n\r\n"):
        for answer in raw(demo, text, answers=1):
            refused(answer, 400, 414, 431)
    for text in ("\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\x00\xff", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "* * *\r\n\r\n", "GET http:// HTTP/1.1\r\nHost:\r\n\r\n", "\x00" * 1000 + "\r\n\r\n"):
        for answer in raw(demo, text + "\r\n", answers=1, timeout=1):
            assert answer.status < 500, f"{text!r}: {answer}"
    host, port = demo.url.split("://")[1].split(":")
    half = [socket.create_connection((host, int(port))) for _ in range(200)]
    for i, conn in enumerate(half):
        conn.sendall((b"GET / HT", b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{", b"")[i % 3])
    assert raw(demo, one)[0].status == 200
    for conn in half:
        conn.close()


def test_memory_stays_bounded(demo):
    """A thousand slow or greedy clients that promise much and send little."""

    def resident():
        with open(f"/proc/{demo.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) >> 10  # MiB

    before = resident()
    host, port = demo.url.split("://")[1].split(":")
    head = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 33000000\r\n\r\n{}"
    conns = []
    try:
        for target in (f"{API}/runs/log-batch", "/invocations", f"{AJAX}/runs/create", f"{API}/registered-models/create"):
            for _ in range(100):
                conns.append(socket.create_connection((host, int(port))))
                conns[-1].sendall(head.format(target, " " * 70_000).encode())
        assert demo.get("/health").status_code == 200
        assert resident() - before < 400
    finally:
        for conn in conns:
            conn.close()


def test_keys_from_birth_to_death(tmp_path):
    """`sluice keys` beside a running server: it counts at once, it ends within two seconds, and its text is stored and logged nowhere."""
    import subprocess

    from conftest import BINARY

    def keys(*args):
        got = subprocess.run([str(BINARY), "keys", *args, "--data-dir", str(tmp_path / "data")], capture_output=True, text=True, timeout=60)
        return got.returncode, got.stdout, got.stderr

    def create(name, *args):
        code, out, err = keys("create", name, *args)
        assert code == 0, err
        return re.search(r"slk_\S+", out).group(0)

    s = Server(tmp_path / "data", "--log-level", "debug").start()
    path = f"{API}/experiments/get?experiment_id=0"
    try:
        assert ask(s, "GET", path, "Authorization: Bearer slk_nonsense\r\n").status == 200  # no key, no login
        admin, reader = create("admin", "--permissions", "manage"), create("reader", "--permissions", "read")
        bearer = lambda key: f"Authorization: Bearer {key}\r\n"  # noqa: E731
        wait_until(lambda: ask(s, "GET", path).status == 401, 10, "keys count")
        assert keys("create", "admin")[0] == 1 and keys("create", "bad name")[0] == 1 and keys("create", "x", "--permissions", "root")[0] == 1
        assert ask(s, "GET", path, bearer(admin)).status == 200 and ask(s, "GET", path, bearer(reader)).status == 200
        create_run = f"{API}/runs/create"
        refused(post(s, create_run, {"experiment_id": "0"}, bearer(reader)), 403)
        assert post(s, create_run, {"experiment_id": "0"}, bearer(admin)).status == 200
        import base64

        for password in (reader, reader + "x", reader[:-1], "", reader.upper()):
            basic = base64.b64encode(f"anybody:{password}".encode()).decode()
            answer = ask(s, "GET", path, f"Authorization: Basic {basic}\r\n")
            assert answer.status == (200 if password == reader else 401), answer
        assert refused(ask(s, "GET", path), 401)["error_code"] == "UNAUTHENTICATED"
        assert reader not in keys("list")[1] and re.search(r"^reader\b", keys("list")[1], re.M)
        assert keys("revoke", "reader")[0] == 0
        revoked = time.monotonic()
        wait_until(lambda: ask(s, "GET", path, bearer(reader)).status == 401, 10, "the revocation counts")
        assert time.monotonic() - revoked < 2
        assert ask(s, "GET", path, bearer(admin)).status == 200 and keys("revoke", "reader")[0] == 1
        again = create("reader", "--permissions", "read")
        assert again != reader
        wait_until(lambda: ask(s, "GET", path, bearer(again)).status == 200, 10, "the new key counts")
        assert ask(s, "GET", path, bearer(reader)).status == 401
        for guess in range(40):
            last = ask(s, "GET", path, bearer(f"slk_{guess:043d}"))
        assert last.status == 429 and int(last.headers["retry-after"]) > 0
        assert ask(s, "GET", path, bearer(admin)).status == 200  # who has a key is not locked out
        s.stop()
        texts = [admin.encode(), reader.encode(), again.encode()]
        log = "\n".join(s.out).encode()
        for text in texts:
            assert text not in log and text[4:] not in log
            for file in (tmp_path / "data").rglob("*"):
                assert not file.is_file() or text[4:] not in file.read_bytes(), file
    finally:
        s.stop()


def test_a_public_server_stays_closed_without_its_last_key(tmp_path):
    import subprocess

    from conftest import BINARY

    def keys(*args):
        return subprocess.run([str(BINARY), "keys", *args, "--data-dir", str(tmp_path / "data")], capture_output=True, text=True, timeout=60)

    assert keys("create", "only").returncode == 0
    s = Server(tmp_path / "data", "--host", "0.0.0.0").start()
    try:
        s.url = s.url.replace("0.0.0.0", "127.0.0.1").replace("[::]", "127.0.0.1")
        path = f"{API}/experiments/get?experiment_id=0"
        assert ask(s, "GET", path).status == 401
        gone = keys("revoke", "only")
        assert gone.returncode == 0 and "last key" in gone.stderr
        time.sleep(2)  # it has noticed by then
        assert ask(s, "GET", path).status == 401
    finally:
        s.stop()
