"""The list of MLflow's routes that cmd/sluice/surface_test.go holds our endpoint table against is that of the installed package."""

import pathlib
import re
import subprocess
import sys

from conftest import own_environ

LIST = pathlib.Path(__file__).parents[1] / "testdata" / "mlflow-routes.txt"

# In a process of its own: MLflow's server changes the process that loads it.
ENUMERATE = """
import warnings
warnings.simplefilter("ignore")
from mlflow.server import app, handlers
from mlflow.server.fastapi_app import app as outer
for path, _, methods in handlers.get_endpoints(lambda message: message):
    for method in methods:
        print("route", method, path)
for rule in app.url_map.iter_rules():
    for method in rule.methods - {"HEAD", "OPTIONS"}:
        print("route", method, rule.rule)
for path, operations in outer.openapi()["paths"].items():
    for method in operations:
        print("route", method.upper(), path)
"""


def test_list_of_routes_is_mlflows():
    done = subprocess.run([sys.executable, "-c", ENUMERATE], capture_output=True, text=True, env=own_environ(), check=True)
    installed = {re.sub(r"<[^>]*>|\{[^}]*\}", "{}", line.removeprefix("route ")) for line in done.stdout.splitlines() if line.startswith("route ")}
    listed = {line for line in LIST.read_text().splitlines() if not line.startswith("#")}
    assert len(installed) > 400
    assert sorted(installed - listed) == [] and sorted(listed - installed) == []
