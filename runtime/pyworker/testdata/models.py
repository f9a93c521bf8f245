"""Saves the models of the tests below the folder that is named by the only argument. Each class is one model."""

import os
import signal
import sys
import time

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema


class Sums(mlflow.pyfunc.PythonModel):
    """Row by row: a table of sums, texts and flags. Fails on a negative `a`."""

    def predict(self, context, model_input, params=None):
        if (model_input["a"] < 0).any():
            raise RuntimeError("a is negative")
        total = model_input["a"] + model_input["b"]
        return pd.DataFrame({"sum": total, "text": ["row %g" % v for v in total] or pd.Series([], dtype=str), "large": total > 10})


class Faults(mlflow.pyfunc.PythonModel):
    """Does what its rows say, once for each token: the file named by the token is made before the deed. Loading it does what its artifact says."""

    def load_context(self, context):
        with open(context.artifacts["loading"]) as f:
            self.do(f.read())

    def predict(self, context, model_input, params=None):
        for deed, token in zip(model_input["deed"], model_input["token"]):
            if token:
                try:
                    os.close(os.open(token, os.O_CREAT | os.O_EXCL))
                except FileExistsError:
                    continue
            self.do(deed)
        return np.full(len(model_input), os.getpid())

    def do(self, deed):
        kind, _, argument = deed.partition(" ")
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif kind == "exit":
            os._exit(3)
        elif kind == "sys.exit":
            sys.exit(3)
        elif kind == "spin":
            while True:
                pass
        elif kind == "stubborn":
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    pass
        elif kind == "garbage":
            os.write(3, b"GET / HTTP/1.1\r\n" + bytes(100))
        elif kind == "close":
            os.close(3)
            time.sleep(60)
        elif kind == "allocate":
            self.held = np.ones(int(argument) // 8)
        elif kind == "leak":
            self.leaked = [*getattr(self, "leaked", []), np.ones(int(argument), np.uint8)]
        elif kind == "open":
            self.files = [open(os.devnull) for _ in range(int(argument))]
        elif kind == "threads":
            import threading

            end = threading.Event()
            try:
                for _ in range(int(argument)):
                    threading.Thread(target=end.wait, daemon=True).start()
            finally:
                end.set()
        elif kind == "hold":
            import mmap

            self.held = mmap.mmap(-1, int(argument))
            for _ in range(int(argument) >> 20):
                self.held.write(bytes(1 << 20))
        elif kind == "tell":
            import resource

            print("told files=%d nice=%d mode=%o" % (resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.nice(0), os.stat(".").st_mode & 0o777))
            print(" ".join("%s=%s" % v for v in os.environ.items()))
        elif kind == "sleep":
            time.sleep(float(argument))
        elif kind == "print":
            print(argument)
            print(argument, file=sys.stderr)
        elif kind == "spawn":
            import subprocess

            subprocess.Popen(["sleep", "600"])


class Broken(mlflow.pyfunc.PythonModel):
    """Cannot be loaded."""

    def load_context(self, context):
        raise RuntimeError("the model's own reason")

    def predict(self, context, model_input, params=None):
        return model_input


def save(folder, name, model, signature=None, **more):
    mlflow.pyfunc.save_model(os.path.join(folder, name), python_model=model, signature=signature, pip_requirements=["mlflow"], **more)


def main(folder):
    pair = Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.double, "b")])
    save(folder, "sums", Sums(), ModelSignature(inputs=pair))
    save(folder, "broken", Broken())
    loading = os.path.join(folder, "loading")
    with open(loading, "w") as f:
        f.write("nothing")
    deeds = Schema([ColSpec(DataType.string, "deed"), ColSpec(DataType.string, "token")])
    save(folder, "faults", Faults(), ModelSignature(inputs=deeds), artifacts={"loading": loading})


if __name__ == "__main__":
    main(sys.argv[1])
