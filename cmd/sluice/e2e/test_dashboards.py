"""deploy/prometheus on Debian's Prometheus: rules and configuration are checked and tested by promtool."""

import subprocess

from conftest import ROOT

DEPLOYED = ROOT / "deploy" / "prometheus"


def promtool(*args):
    ran = subprocess.run(["promtool", *args], cwd=DEPLOYED, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_rules_alert_on_what_they_should_and_on_nothing_else():
    promtool("check", "config", "prometheus.yml")
    promtool("test", "rules", "rules_test.yml")
