"""What the life cycle tests share: versions made by REST alone, because they are many, and clients that note every answer."""

import collections
import http.client
import json
import threading
import time
import urllib.parse

import requests
from conftest import EXAMPLES, split_body, wait_until

BODY = json.dumps(split_body()).encode()
JSON = {"Content-Type": "application/json"}

Reply = collections.namedtuple("Reply", "sent got status version arm text")


def files(version_dir):
    return {f: (EXAMPLES / version_dir / f).read_bytes() for f in ("MLmodel", "model.onnx")}


def made_files(name, nodes, constants, output=("score", "FLOAT", 1)):
    """The example's package around a model made by hand: 13 floats a row, `input`, through nodes (kind, inputs, output, attributes) to one output (name, type, width).

    constants are arrays by name.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    answer, kind, width = output
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [to], **(attributes[0] if attributes else {})) for op, inputs, to, *attributes in nodes],
        name,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 13])],
        [helper.make_tensor_value_info(answer, getattr(TensorProto, kind), [None, width])],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return {"MLmodel": (EXAMPLES / "v2" / "MLmodel").read_bytes(), "model.onnx": model.SerializeToString()}


def heavy_files(megabytes=24, layers=1):
    """A model of the given size: 13 numbers, so many times through a square matrix, to one number."""
    import numpy as np

    side = int((megabytes * 2**20 / 4) ** 0.5)
    names = ["a"] + [f"b{i}" for i in range(layers)]
    nodes = [("MatMul", ["input", "first"], "a")]
    nodes += [("MatMul", [x, "square"], y) for x, y in zip(names, names[1:])]
    nodes += [("MatMul", [names[-1], "last"], "score")]
    square = np.full((side, side), 1 / side, dtype=np.float32)
    return made_files("heavy", nodes, {"first": np.ones((13, side), np.float32), "square": square, "last": np.ones((side, 1), np.float32)})


def busy_files(sines=2_000_000):
    """A model that computes so many sines for every row: about 4 ms of processor time, which joining saves nothing of."""
    import numpy as np

    width = 10_000
    depth = sines // width
    nodes = [("MatMul", ["input", "first"], "a0")]
    nodes += [("Sin", [f"a{i}"], f"a{i + 1}") for i in range(depth)]
    nodes += [("MatMul", [f"a{depth}", "last"], "score")]
    return made_files("busy", nodes, {"first": np.ones((13, width), np.float32), "last": np.full((width, 1), 1 / width, np.float32)})


def add_version(server, name, package):
    """Uploads a package and makes it the next version of the registered model; returns its number as text."""
    run = server.api("POST", "runs/create", {"experiment_id": "0", "run_name": name})["run"]["info"]["run_id"]
    for path, content in package.items():
        url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/model/{path}"
        answer = requests.put(url, data=content, timeout=60)
        assert answer.status_code == 200, answer.text
    requests.post(server.url + "/api/2.0/mlflow/registered-models/create", json={"name": name}, timeout=30)  # there already: fine
    source = f"mlflow-artifacts:/0/{run}/artifacts/model"
    made = server.api("POST", "model-versions/create", {"name": name, "source": source, "run_id": run})
    return made["model_version"]["version"]


def move(server, name, version, stage="Production", archive=True):
    body = {"name": name, "version": version, "stage": stage, "archive_existing_versions": archive and stage == "Production"}
    server.api("POST", "model-versions/transition-stage", body)


def endpoint(server, name):
    return server.get(f"/api/2.0/serving-endpoints/{name}").json()


def configure(server, name, model, *arms):
    """arms: (name, {entity_stage|entity_version|entity_alias: …}, percent)."""
    body = {
        "served_entities": [{"name": n, "entity_name": model, **which} for n, which, _ in arms],
        "traffic_config": {"routes": [{"served_entity_name": n, "traffic_percentage": p} for n, _, p in arms]},
    }
    answer = requests.put(f"{server.url}/api/2.0/serving-endpoints/{name}/config", json=body, timeout=30)
    assert answer.status_code == 200, answer.text


def version_of(server, name="wine"):
    answer = server.post(f"/endpoints/{name}/invocations", data=BODY, headers=JSON)
    return answer.headers.get("X-Sluice-Model-Version") if answer.ok else None


def serves(server, version, name="wine", seconds=30):
    wait_until(lambda: version_of(server, name) == version, seconds, f"{name} answers with version {version}")


class Load:
    """Keep-alive clients that ask without a pause. `with Load(server) as load:`; afterwards load.replies has every answer."""

    def __init__(self, server, path="/endpoints/wine/invocations", clients=3, pause=0.002):
        self.address = urllib.parse.urlsplit(server.url)
        self.path, self.clients, self.pause = path, clients, pause
        self.replies, self.broken = [], []  # broken: (sent, connection had answered before, error)
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self):
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for t in self._threads:
            t.start()
        wait_until(lambda: len(self.replies) >= self.clients, what="the first answers")
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for t in self._threads:
            t.join()

    def _ask(self):
        connection = None
        while not self._stop.is_set():
            sent = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=60)
                    connection.connect()
            except OSError:
                return  # nobody listens any more
            try:
                connection.request("POST", self.path, BODY, JSON)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.broken.append((sent, repr(error)))
                return
            reply = Reply(
                sent, time.monotonic(), answer.status, answer.headers.get("X-Sluice-Model-Version"), answer.headers.get("X-Sluice-Arm"), text
            )
            with self._lock:
                self.replies.append(reply)
            if answer.will_close:
                connection.close()
                connection = None
            self._stop.wait(self.pause)

    def check(self):
        assert not self.broken, self.broken[:3]
        bad = [r for r in self.replies if r.status != 200]
        assert not bad, bad[:3]
