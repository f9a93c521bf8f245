"""A model package as mlflow.pyfunc loads it: what its MLmodel file says, and the model that a converter takes."""

import os

from .verdict import NotConvertible


class Logged:
    """A loaded python_function model with a signature. `raw` is the library's own model."""

    def __init__(self, folder):
        import mlflow.models
        import mlflow.pyfunc

        self.folder, self.meta = folder, mlflow.models.Model.load(folder)
        signature = self.meta.signature
        if signature is None or signature.inputs is None or not signature.inputs.inputs:
            raise NotConvertible("the model has no signature, so what it is fed is not known: log it with a signature or an input example")
        if signature.params is not None and signature.params.params:
            raise NotConvertible("the model takes parameters with a request")
        self.tensor = signature.inputs.is_tensor_spec()
        self.specs = signature.inputs.inputs
        os.environ["MLFLOW_DEFAULT_PREDICTION_DEVICE"] = "cpu"  # where the conversion runs, whatever this machine has besides
        backend = self.flavor("keras").get("keras_backend")
        if backend:  # Keras would take another one, or none, as MLflow does not tell it
            os.environ["KERAS_BACKEND"] = backend
        self.pyfunc = mlflow.pyfunc.load_model(folder)
        self.raw = self._raw()

    @property
    def loader(self):
        return self.flavor("python_function").get("loader_module")

    def flavor(self, name):
        return self.meta.flavors.get(name) or {}

    def _raw(self):
        try:
            return self.pyfunc.get_raw_model()
        except Exception:
            raise NotConvertible(f"{self.loader} keeps no model that a converter knows") from None

    def example(self):
        """The input example as the client gave it; None without a readable one."""
        try:
            return self.pyfunc.input_example
        except Exception:
            return None


def walk(columns, most, accepts):
    """Splits rows, given as sequences by input, into those that are accepted, as the numbers of them, and those that are not.

    Halves what is refused until single rows are left, `most` of them at the utmost: what is not looked at after that is in neither list.
    """
    kept, refused = [], []

    def look(low, high):
        if accepts([c[low:high] for c in columns]):
            kept.extend(range(low, high))
        elif high - low == 1:
            refused.append(low)
        elif len(refused) < most:
            middle = (low + high) // 2
            look(low, middle)
            look(middle, high)

    look(0, len(columns[0]))
    return kept, refused
