"""Who watches a server in the tests: a Prometheus of Debian's with the rules of deploy/, and an OpenTelemetry Collector built from Go modules."""

import itertools
import json
import math
import re
import socket
import subprocess
import threading

import requests
import yaml
from conftest import ROOT, own_environ, wait_until

DEPLOYED = ROOT / "deploy"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Prometheus:
    """deploy/prometheus with these targets, scraped and evaluated every second, alerts without their patience."""

    def __init__(self, folder, *servers):
        self.folder, self.url = folder, f"http://127.0.0.1:{free_port()}"
        config = yaml.safe_load((DEPLOYED / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"] = [{"targets": [s.url.removeprefix("http://") for s in servers]}]
        self.rules = yaml.safe_load((DEPLOYED / "prometheus" / "rules.yml").read_text())
        for group in self.rules["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        folder.mkdir()
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "rules.yml").write_text(yaml.safe_dump(self.rules))

    def __enter__(self):
        self.log = (self.folder / "log").open("w")
        self.process = subprocess.Popen(
            [
                "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--enable-feature=exemplar-storage",
                "--web.listen-address=" + self.url.removeprefix("http://"),
            ],
            cwd=self.folder, stdout=self.log, stderr=self.log, env=own_environ(),
        )  # fmt: skip
        wait_until(lambda: requests.get(self.url + "/-/ready", timeout=5).ok, 60, "Prometheus")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def get(self, path, **params):
        answer = requests.post(f"{self.url}/api/v1/{path}", data=params, timeout=30) if params else requests.get(f"{self.url}/api/v1/{path}", timeout=30)
        assert answer.ok, f"{params}: {answer.text}"
        return answer.json()["data"]

    def values(self, expr):
        """The numbers that an expression has now; what is not a number (nothing divided by nothing) is left out."""
        found = [float(r["value"][1]) for r in self.get("query", query=expr)["result"]]
        return [v for v in found if not math.isnan(v)]


def panels():
    """(dashboard and panel, expression as Grafana would send it) of every query of every dashboard."""
    for path in sorted((DEPLOYED / "grafana").glob("*.json")):
        page = json.loads(path.read_text())
        chosen = {v["name"]: v["current"].get("value") for v in page["templating"]["list"]} | {"__rate_interval": "10s"}
        marks = ((f"{path.stem}: {a['name']}", a["expr"]) for a in page["annotations"]["list"])
        queries = ((f"{path.stem}: {p['title']}", q["expr"]) for p in page["panels"] for q in p.get("targets", []))
        for where, expr in itertools.chain(marks, queries):
            for name, value in chosen.items():
                expr = re.sub(rf"\${name}\b", ".*" if value == "$__all" else str(value), expr)
            assert "$" not in expr, (where, expr)
            yield where, expr


def measured(rules):
    """(rule, expression without its thresholds) of every rule: what it looks at, which has to be there whether it alerts or not."""
    for group in rules["groups"]:
        for rule in group["rules"]:
            looks_at = re.split(r"\bunless on\b", rule["expr"])[0]
            yield rule.get("alert") or rule["record"], re.sub(r"\s(?:>|<|==)\s[\d.]+", " ", looks_at)


class Collector:
    """deploy/otel-collector on ports of its own, whose pipelines end in the debug exporter; text() is what that one wrote."""

    def __init__(self, folder):
        self.folder, self.grpc, self.http = folder, free_port(), free_port()
        folder.mkdir()
        pipeline = {"exporters": ["debug"]}
        (folder / "test.yaml").write_text(yaml.safe_dump({"service": {"pipelines": {"metrics": pipeline, "traces": pipeline, "logs": pipeline}}}))

    def __enter__(self):
        binary = ROOT / "bin" / "otelcol"
        subprocess.run(["go", "build", "-o", str(binary), "."], cwd=ROOT / "cmd" / "sluice" / "e2e" / "otelcol", check=True, env=own_environ())
        environ = own_environ() | {"OTLP_GRPC_LISTEN": f"127.0.0.1:{self.grpc}", "OTLP_HTTP_LISTEN": f"127.0.0.1:{self.http}"}
        configs = ["--config", str(DEPLOYED / "otel-collector" / "config.yaml")]
        subprocess.run([str(binary), "validate", *configs], check=True, env=environ)
        self._lines = []
        self.process = subprocess.Popen(
            [str(binary), *configs, "--config", str(self.folder / "test.yaml")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
        )
        threading.Thread(target=lambda: self._lines.extend(self.process.stdout), daemon=True).start()
        wait_until(lambda: requests.get(self.url, timeout=5).status_code == 404, 60, "the collector")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http}"

    def text(self):
        return "".join(list(self._lines)).replace("\\n", "\n").replace("\\t", "\t")
