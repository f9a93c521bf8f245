"""A stock MLflow server that changes its database on request, so that a thousand tests don't start a thousand of them.

Reads orders from standard input, one JSON object a line, and answers each with the line "done" or a reason:
{"serve": port, "backend": uri, "root": uri, "settings": {name: value}} or {"stop": true}.
"""

import json
import os
import sys
import threading
import time

import uvicorn
from mlflow.server import handlers
from mlflow.server.fastapi_app import app


class Serving:
    def __init__(self):
        self._server = self._thread = None

    def stop(self):
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join(timeout=10)
            self._server = None

    def serve(self, port, backend, root, settings):
        self.stop()
        for name in [n for n in os.environ if n.startswith(("MLFLOW_", "_MLFLOW_")) and n not in settings]:
            del os.environ[name]
        os.environ.update(settings)
        handlers._tracking_store = None
        handlers._model_registry_store = None
        handlers.initialize_backend_stores(backend, default_artifact_root=root)
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", ws="none"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        end = time.monotonic() + 30
        while not self._server.started:
            if time.monotonic() > end or not self._thread.is_alive():
                raise RuntimeError(f"nothing listens on port {port}")
            time.sleep(0.01)


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    serving = Serving()
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "stop" in order:
                serving.stop()
            else:
                serving.serve(order["serve"], order["backend"], order["root"], order["settings"])
            answer = "done"
        except Exception as err:  # the test that asked is told, the next one may fare better
            answer = f"{type(err).__name__}: {err}".replace("\n", " ")
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    main()
