"""A model that answers until a file appears, and never from then on."""

import pathlib
import time

START = pathlib.Path("@START@")  # replaced by who writes the package


class Hanging:
    def predict(self, frame, params=None):
        while START.exists():
            time.sleep(3600)
        return [0.0] * len(frame)


def _load_pyfunc(path):
    return Hanging()
