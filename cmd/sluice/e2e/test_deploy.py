"""deploy/ as the tools read it that it is for: Grafana's own dashboard model, promtool, and the commands that it names. (test_dashboards.py runs it.)"""

import enum
import json
import re
import subprocess
import typing

import pytest
import yaml
from conftest import BINARY, Server, own_environ, wait_until
from watching import DEPLOYED

# What Grafana's Prometheus data source reads, and exports, although its model has no field for it.
BESIDE_THE_MODEL = (r"\.annotations\.list\[\]\.(titleFormat|textFormat)", r"\.templating\.list\[\]\.definition")


def lost(sent, read, path=""):
    """What is in sent but not in read, or another there: fields that the model does not know."""
    if isinstance(sent, dict) and isinstance(read, dict):
        for key in sent:
            yield from lost(sent[key], read[key], f"{path}.{key}") if key in read else [f"{path}.{key}"]
    elif isinstance(sent, list) and isinstance(read, list) and len(sent) == len(read):
        for a, b in zip(sent, read):
            yield from lost(a, b, path + "[]")
    elif sent != read:
        yield f"{path}: {sent!r} became {read!r}"


def choices(hint):
    """The enumeration in a type, if there is one."""
    kinds = [hint, *typing.get_args(hint)]
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, enum.Enum)), None)


def odd(value, path=""):
    """Values that are none of the model's enumerations."""
    if isinstance(value, (list, tuple)):
        for v in value:
            yield from odd(v, path + "[]")
    elif isinstance(value, dict):
        for key, v in value.items():
            yield from odd(v, f"{path}.{key}")
    elif type(value).__module__.startswith("grafana_foundation_sdk"):
        hints = typing.get_type_hints(type(value))
        for name, v in vars(value).items():
            known = choices(hints.get(name))
            if known and v is not None and v not in [e.value for e in known]:
                yield f"{path}.{name}: {v!r} is none of {[e.value for e in known]}"
            yield from odd(v, f"{path}.{name}")


def read(page):
    """(What Grafana's model has no field for, what is none of its values) of a dashboard."""
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    model = Dashboard.from_json(page)
    again = json.loads(encoder.JSONEncoder().encode(model))
    return [path for path in lost(page, again) if not any(re.fullmatch(p, path) for p in BESIDE_THE_MODEL)], list(odd(model))


@pytest.mark.parametrize("file", sorted(p.name for p in (DEPLOYED / "grafana").iterdir()))
def test_grafana_reads_every_field_of_a_dashboard(file):
    assert read(json.loads((DEPLOYED / "grafana" / file).read_text())) == ([], [])


def test_what_grafana_does_not_read_is_noticed():
    page = json.loads((DEPLOYED / "grafana" / "endpoint.json").read_text())
    by_type = {p["type"]: p for p in page["panels"]}
    page["editabel"] = True
    by_type["timeseries"]["options"]["legend"]["displaymode"] = "table"
    by_type["timeseries"]["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "linen"
    by_type["heatmap"]["targets"][0]["legendForma"] = "x"
    unknown, values = read(page)
    assert [p.rsplit(".", 1)[1] for p in unknown] == ["legendForma", "displaymode", "editabel"] or len(unknown) == 3, unknown
    assert len(values) == 1 and "linen" in values[0]


def test_promtool_has_nothing_to_say(tmp_path):
    """Also with the lines that a server with keys needs, and the command that they name makes a key which may read and no more."""
    config = (DEPLOYED / "prometheus" / "prometheus.yml").read_text()
    command = re.search(r"sluice (keys create .*)", config)[1].split()
    server = Server(tmp_path / "data").start()
    try:
        made = subprocess.run([BINARY, *command, "--data-dir", server.data_dir], capture_output=True, text=True, env=own_environ(), check=True)
        key = made.stdout.split()[-1]
        wait_until(lambda: server.get("/metrics").status_code == 401, what="the key to be asked for")
        with_key = {"Authorization": f"Bearer {key}"}
        assert server.get("/metrics", headers=with_key).ok
        assert server.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, headers=with_key).status_code == 403
    finally:
        server.stop()
    (tmp_path / "sluice.key").write_text(key)
    enabled = re.sub(r"^(    )# (authorization:|  credentials_file:)", r"\1\2", config, flags=re.M).replace("/etc/prometheus/", f"{tmp_path}/")
    assert "\n      credentials_file:" in enabled
    (tmp_path / "prometheus.yml").write_text(enabled)
    (tmp_path / "rules.yml").write_text((DEPLOYED / "prometheus" / "rules.yml").read_text())
    for what in (["config", "prometheus.yml"], ["rules", "--lint=all", "--lint-fatal", "rules.yml"]):
        ran = subprocess.run(["promtool", "check", *what], cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_is_tested_both_ways():
    """rules_test.yml has a time when it fires and one when it must not (yet); test_dashboards.py has promtool run them."""
    rules, tests = (yaml.safe_load((DEPLOYED / "prometheus" / name).read_text()) for name in ("rules.yml", "rules_test.yml"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    tested = {(case["alertname"], bool(case["exp_alerts"])) for test in tests["tests"] for case in test["alert_rule_test"]}
    assert {(name, fires) for name in alerts for fires in (True, False)} == tested


def test_every_file_is_told_of():
    said = (DEPLOYED / "README.md").read_text()
    for path in DEPLOYED.iterdir():
        assert path.name == "README.md" or f"{path.name}/" in said, path
