"""Plays the requests of goldens/ against the installed MLflow server and writes its answers: `make goldens`, from this folder.

    python record_goldens.py
"""

import json
import pathlib
import tempfile

import goldens
import sides


def record(url, modules=goldens.MODULES):
    """Plays the modules on an empty server at url; returns how many answers were written."""
    side, total = sides.Side(url), 0
    for module in modules:
        answers = [{"request": str(case)} | case.play(side) for case in goldens.cases(module)]
        total += len(answers)
        text = ",\n".join(json.dumps(a, ensure_ascii=False) for a in answers)
        (goldens.ANSWERS / f"{module}.json").write_text(f"[\n{text}\n]\n")
    return total


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, sides.mlflow_server(pathlib.Path(folder)) as address:
        print(f"{record(address)} answers recorded")
