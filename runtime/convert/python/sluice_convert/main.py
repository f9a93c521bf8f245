"""The conversation with the gateway: a request in, then rows and answers of the original, then one candidate after the other."""

import json
import os
import resource
import sys
import traceback

from . import candidates
from .network import Network
from .original import Original
from .verdict import NotConvertible


def limit(bounds):
    """Bounds this process before anything of the model is read: pickles run here. Should the system run out of memory, it is to take this one."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass
    for name, value in (("RLIMIT_CPU", bounds["cpu_seconds"]), ("RLIMIT_FSIZE", bounds["file_bytes"]), ("RLIMIT_DATA", bounds["memory_bytes"]), ("RLIMIT_CORE", 0)):
        if value or name == "RLIMIT_CORE":
            kind = getattr(resource, name)
            _, hard = resource.getrlimit(kind)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))


def full():
    """Whether this process has nearly what it may have of memory: an allocation that fails shows itself in many ways."""
    bound, _ = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            used = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData:"))
    except (OSError, StopIteration):
        return False
    return bound != resource.RLIM_INFINITY and used > 0.8 * bound


class Line:
    """The line to the gateway. What libraries print goes to the standard error stream, so that it cannot disturb."""

    def __init__(self):
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, **event):
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()

    def hear(self):
        return sys.stdin.readline().strip()


def converse(line):
    request = json.loads(line.hear())
    limit(request["limits"])
    sys.path.extend(request["converters"])
    model = (Network if request["network"] else Original)(request["model"], request["out"], request["rows"], request["seed"])
    sheet = model.examine()
    line.say(event="rows", **sheet)
    reasons = []
    for number, candidate in enumerate(candidates.of(model, reasons)):
        name = f"candidate-{number}.onnx"
        with open(os.path.join(request["out"], name), "wb") as file:
            file.write(candidate.model.SerializeToString())
        line.say(event="candidate", file=name, name=candidate.name, versions=candidate.versions)
        if line.hear() != "next":
            return
    line.say(event="none", reason="; ".join(reasons) or "no converter takes this model", missing=[])


def main():
    line = Line()
    try:
        converse(line)
    except NotConvertible as no:
        line.say(event="none", reason=str(no), missing=no.missing)
    except Exception as error:  # the gateway tells the operator: the trace goes to its log
        exhausted = "out of memory: " if full() else ""
        traceback.print_exc()
        line.say(event="none", reason=f"{exhausted}{type(error).__name__}: {error}"[:1000], missing=[])
