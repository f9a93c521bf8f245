"""Endpoints that remember answers: in memory and in Redis, through swaps, with what is logged and counted about it."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest
import requests
from conftest import Server, own_environ, register_wine, wait_until, wine_rows
from lifecycle import BODY, JSON, Load, add_version, files, move, serves, version_of


def remember(server, name, **cache):
    """Gives an endpoint, which may follow from a stage alone, a cache; returns the answer."""
    return requests.put(f"{server.url}/api/2.0/serving-endpoints/{name}/config", json={"cache": cache}, timeout=30)


def ask(server, name="wine", **headers):
    answer = server.post(f"/endpoints/{name}/invocations", data=BODY, headers=JSON | headers)
    assert answer.ok, answer.text
    return answer


def result(server, **headers):
    return ask(server, **headers).headers.get("X-Sluice-Cache")


def counted(server, metric, **labels):
    """The sum of a metric's series that have the labels."""
    total = 0.0
    for name, text, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)", server.get("/metrics").text, re.M):
        if name == metric and all(f'{k}="{v}"' in text for k, v in labels.items()):
            total += float(value)
    return total


def test_the_clients_get_hits(server, mlflow_at):
    from mlflow.deployments import get_deploy_client

    mlflow_at(server)
    import mlflow

    register_wine(mlflow, "wine")
    move(server, "wine", "1")
    serves(server, "1")
    assert remember(server, "wine", ttl="10m").json()["config"]["cache"] == {"ttl": "10m0s", "store": "memory", "max_entry_bytes": 1048576}
    rows = wine_rows(3)
    frame = pd.DataFrame(rows["data"], columns=rows["columns"])
    client = get_deploy_client(server.url)
    wait_until(lambda: server.post("/endpoints/wine/invocations", data=BODY, headers=JSON).headers.get("X-Sluice-Cache"), what="the cache")
    before = counted(server, "sluice_cache_requests_total", result="miss")
    first = client.predict(endpoint="wine", inputs={"dataframe_split": rows})
    # other spellings of the same rows, by this protocol and by another
    assert client.predict(endpoint="wine", inputs={"dataframe_records": frame.to_dict(orient="records")}) == first
    assert client.predict(endpoint="wine", inputs={"dataframe_split": {"columns": rows["columns"][::-1], "data": [r[::-1] for r in rows["data"]]}}) == first
    inputs = [{"name": c, "datatype": "FP64", "shape": [3], "data": frame[c].tolist()} for c in frame]
    infer = server.post("/v2/models/wine/infer", json={"id": "mine", "inputs": inputs})
    assert infer.headers["X-Sluice-Cache"] == "hit" and infer.json()["id"] == "mine", infer.text
    assert counted(server, "sluice_cache_requests_total", result="miss") == before + 1
    assert counted(server, "sluice_cache_requests_total", result="hit") >= 3


def test_no_answer_outlives_its_version(tmp_path):
    s = Server(tmp_path / "data", "--log-level", "warn").start()
    try:
        versions = [add_version(s, "wine", files(v)) for v in ("v1", "v2")]
        expected = {}
        for v in versions:
            move(s, "wine", v)
            serves(s, v)
            expected[v] = ask(s).content
        assert len(set(expected.values())) == 2, "the two versions answer alike: the test shows nothing"
        assert remember(s, "wine", ttl="1h").ok
        wait_until(lambda: result(s) == "hit", what="a hit")
        order = []  # (version, ordered, seen)
        with Load(s, clients=3) as load:
            for i in range(12):
                version, ordered = versions[i % 2], time.monotonic()
                move(s, "wine", version)
                wait_until(lambda version=version: version_of(s) == version, what=f"move {i}")
                order.append((version, ordered, time.monotonic()))
                n = len(load.replies)
                wait_until(lambda n=n: len(load.replies) > n + 20, what="answers of the version")
        load.check()
        for r in load.replies:  # whatever was cached: who is named has answered
            assert r.text == expected[r.version], (r.version, r.text)
        ends = [ordered for _, ordered, _ in order[1:]] + [float("inf")]
        for (version, _, seen), end in zip(order, ends, strict=True):
            strays = {r.version for r in load.replies if r.sent > seen and r.got < end} - {version}
            assert not strays, (version, strays)
        requests_ = counted(s, "sluice_request_duration_seconds_count", endpoint="wine")
        found = sum(counted(s, "sluice_cache_requests_total", endpoint="wine", result=r) for r in ("hit", "shared"))
        dropped = counted(s, "sluice_predlog_drops_total")
        assert found > len(load.replies) / 2, (found, len(load.replies))
    finally:
        assert s.stop() == 0
    marks = []
    for file in sorted((s.data_dir / "artifacts").rglob("predictions/**/*.parquet")):
        marks += pq.ParquetFile(file).read(columns=["cached"]).column(0).to_pylist()
    assert len(marks) + dropped == requests_
    assert found - dropped <= sum(marks) <= found


class Redis:
    """One redis-server on a socket of its own, with a password."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="redis"))  # a socket's path must be short
        self.url = f"unix://:hush-hush@{self.dir}/s"

    def start(self):
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.dir / "s"), "--requirepass", "hush-hush", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, cwd=self.dir, env=own_environ(), stdout=subprocess.DEVNULL)
        wait_until(lambda: (self.dir / "s").exists(), what="Redis's socket")

    def kill(self):
        self.process.kill()
        self.process.wait()
        (self.dir / "s").unlink(missing_ok=True)


@pytest.fixture
def redis():
    r = Redis()
    r.start()
    yield r
    r.kill()
    shutil.rmtree(r.dir)


def test_servers_share_answers_in_redis(tmp_path, redis):
    patient = ["--log-level", "info", "--redis-timeout", "5s"]
    servers = [Server(tmp_path / name, *patient, env={"SLUICE_REDIS_URL": redis.url}).start() for name in ("one", "two")]
    try:
        for s in servers:
            move(s, "wine", add_version(s, "wine", files("v1")))
            serves(s, "1")
            assert remember(s, "wine", ttl="1h", store="redis").ok
        one, two = servers
        wait_until(lambda: result(one) == "hit", what="a hit")
        wait_until(lambda: result(two), what="the other's cache")
        assert counted(two, "sluice_cache_requests_total", result="miss") == 0, "the first answer was the other server's"
        assert ask(one).content == ask(two).content
        redis.kill()
        for _ in range(12):
            assert result(one) == "miss"
        assert counted(one, "sluice_cache_errors_total", store="redis") >= 12
        assert any("Redis does not answer" in line for line in one.out), one.out
        redis.start()
        wait_until(lambda: result(one) == "hit", what="a hit after Redis came back")
    finally:
        codes = [s.stop() for s in servers]
    assert codes == [0, 0]
    assert not any("hush-hush" in line for s in servers for line in s.out)

    poor = Server(tmp_path / "one")  # its endpoint still asks for Redis
    with pytest.raises((RuntimeError, AssertionError)) as refused:
        poor.start()
    assert "--redis-url" in str(refused.value) or any("--redis-url" in line for line in poor.out)


def test_a_store_that_is_not_there_is_refused(server):
    move(server, "wine", add_version(server, "wine", files("v1")))
    serves(server, "1")
    answer = remember(server, "wine", ttl="1m", store="redis")
    assert answer.status_code == 400 and "cache.store" in answer.text and "--redis-url" in answer.text, answer.text
    answer = remember(server, "wine", ttl="1m", max_entry_bytes=1 << 40)
    assert answer.status_code == 400 and "cache.max_entry_bytes" in answer.text, answer.text
    assert result(server) is None
