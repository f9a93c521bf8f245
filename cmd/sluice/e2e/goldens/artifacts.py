"""Artifacts: the proxy, lists, downloads, uploads by the UI, multipart and presigned calls."""

from goldens import AJAX, PROXY, Case, delete, each, get, post, put

ROOT = PROXY + "/gold"
ODD = PROXY + "/odd"  # MLflow writes files of some of the names
PATHS = ["../x", "a/../../x", "..", "a/..", "%2e%2e/x", "%252e%252e/x", "%2fetc", "a%2f..%2fb", "a%5c..%5cb", "..%5cx", "C:/x", "c%3A/x", "a%00b", "a%0ab", "./x", "a/./b", "a//b", "none", "dir/none", "%zz", "a%23b", "a%3fb", "a;b", "~/x", "%c0%ae%c0%ae/x", "%ff", "x" * 300, "con", " x", "a b.txt", "ünï.txt"]


def lists(path, **q):
    return get("artifacts/list", {"run_id": "{ar}", "path": path} | q)


CASES = [
    post("runs/create", {"experiment_id": "0", "run_name": "artifacts", "start_time": 1}, keep={"ar": "run.info.run_id"}),
    put(ROOT + "/a.txt", b"hello"), put(ROOT + "/dir/b.bin", b"\x00\x01"), put(ROOT + "/empty", b""), put(ROOT + "/a.txt", b"again"), put(PROXY + "/0/{ar}/artifacts/model/MLmodel", b"flavors: {}"), put(PROXY + "/0/{ar}/artifacts/note.txt", b"note"),
    *each(lambda p: put(f"{ODD}/{p}", b"x"), [p for p in PATHS if p not in ("none", "dir/none", "con", " x", "~/x", "a;b", "%zz", "x" * 300, "a%23b", "a%3fb")]), put(ROOT + "/a.txt/below", b"x"), put(ROOT + "/dir", b"x"), put(PROXY, b"x"), put(PROXY + "/", b"x"),
    *each(lambda p: get(f"{ODD}/{p}"), PATHS), get(ROOT + "/a.txt"), get(ROOT + "/dir"), get(ROOT + "/dir/b.bin"), get(ROOT + "/empty"), get(PROXY + "/"), get(ROOT + "/a.txt", {"path": "../x"}),
    get(PROXY), *each(lambda p: get(PROXY, {"path": p}), ["", "gold", "gold/", "gold/dir", "gold/a.txt", "none", "/gold", "/", "../", "..", "gold/../..", "%2e%2e", "a\\..\\b", "C:\\", "gold//dir", "./gold", ".", "file:///etc", "gold\u0000", "gold\n"]), get(PROXY, {"path": ["gold", "none"]}),
    *each(lists, ["", "model", "model/MLmodel", "none", "../x", "/etc", "..", "%2e%2e/x", "model/../..", "C:\\x", "a\\..\\b", "./model", "model//", "~", "a\u0000b"]), get("artifacts/list"), get("artifacts/list", {"run_id": "f" * 32}), get("artifacts/list", {"run_uuid": "{ar}"}), get("artifacts/list", {"run_id": ""}), lists("", page_token="x"),
    *each(lambda p: get("/get-artifact", {"run_id": "{ar}", "path": p}), ["note.txt", "model/MLmodel", "none", "../x", "/etc/passwd", "", "model", "..%2fx", "a\u0000"]), get("/get-artifact"), get("/get-artifact", {"run_id": "{ar}"}), get("/get-artifact", {"path": "x"}), get("/get-artifact", {"run_uuid": "{ar}", "path": "note.txt"}), get("/get-artifact", {"run_id": "f" * 32, "path": "x"}),
    *each(lambda q: Case("POST", AJAX + "upload-artifact" + q, b"data"), ["?run_uuid={ar}&path=up.txt", "?run_uuid={ar}&path=dir/up.txt", "?run_uuid={ar}", "?path=up.txt", "", "?run_uuid={ar}&path=../x", "?run_uuid={ar}&path=%2Fetc%2Fx", "?run_uuid=none&path=x", "?run_uuid={ar}&path=", "?run_uuid=&path=x"]), Case("POST", AJAX + "upload-artifact?run_uuid={ar}&path=nothing", b""),
    *each(lambda v: post("/api/2.0/mlflow-artifacts/mpu/" + v, {"path": "gold/big", "num_parts": 2, "upload_id": "u", "parts": []}), ["create/gold", "complete/gold", "abort/gold", "create/gold/../x"]), post("/api/2.0/mlflow-artifacts/mpu/create/gold", {"path": "../x", "num_parts": 2}), post("/api/2.0/mlflow-artifacts/mpu/create/gold"),
    post("/api/2.0/mlflow-artifacts/mpu/create/gold", {"path": "x", "num_parts": "y"}), get("/api/2.0/mlflow-artifacts/presigned/gold/a.txt"), get("/api/2.0/mlflow-artifacts/presigned/../x"), post("artifacts/presigned-upload-url", {"run_id": "{ar}", "path": "x"}), post("artifacts/presigned-upload-url", {"run_id": "{ar}", "path": "../x"}), post("artifacts/presigned-upload-url"),
    *each(lambda p: delete(f"{ODD}/{p}", None), PATHS[:16]), *each(lambda p: delete(f"{ROOT}/{p}", None), ["none", "dir/b.bin", "dir", "a.txt", "a.txt"]), delete(PROXY, None), delete(PROXY + "/", None), get(PROXY, {"path": "gold"}),
    Case("GET", "/static-files/../x"), Case("GET", "/static-files/none.js"),
]
