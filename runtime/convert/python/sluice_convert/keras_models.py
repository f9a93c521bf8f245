"""Keras 3's models, by its own export, which takes tf2onnx, jax2onnx or torch.onnx, as the backend is."""

import os

from . import graph
from .estimators import stacked_types
from .verdict import NotConvertible, need

OLDEST = (3, 8)  # the first that exports to ONNX
CONVERTERS = {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnxscript"}


def ways(original):
    need("onnx", "onnx")
    import keras

    version = tuple(int(p) for p in keras.__version__.split(".")[:2])
    if version < OLDEST:
        raise NotConvertible(f"Keras {keras.__version__} does not export to ONNX: 3.8 does")
    if not isinstance(original.raw, keras.Model):
        raise NotConvertible(f"the model is a {type(original.raw).__name__}, no model of Keras 3")
    backend = keras.backend.backend()
    if backend not in CONVERTERS:
        raise NotConvertible(f"Keras does not export from the backend {backend}")
    need(CONVERTERS[backend], CONVERTERS[backend])
    return [(f"network by Keras on {backend}", lambda: export(original, keras))]


def packages():
    import keras

    backend = keras.backend.backend()
    return {"tensorflow": ["tensorflow", "tensorflow-cpu"], "jax": ["jax"], "torch": ["torch"]}.get(backend, []) + [CONVERTERS.get(backend, "onnx")]


def export(original, keras):
    import onnx

    two = original.feed([a[:2] for a in original.sample])
    original.raw(two.to_numpy() if not original.tensor else two)  # Keras exports what was called
    path = os.path.join(original.out, "keras.onnx")
    original.raw.export(path, format="onnx", verbose=False)
    model = onnx.load(path)
    os.remove(path)
    model = graph.fit(model, picks(original), original.matrix())
    if original.tensor:
        by_name = {value: i for i, value in zip(original.inputs, graph_names(original, keras, model), strict=True)}
        fed = [by_name[v.name] for v in model.graph.input]
        return graph.feed(model, [(i.name or "X", i.dtype.name, i.shape) for i in fed])
    return graph.feed(model, [("X", stacked_types([i.dtype.name for i in original.inputs]), (len(original.inputs),))])


def picks(original):
    """The outputs of a dict come in the order of their names."""
    names = [c["name"] for c in original.matrix().columns]
    return [graph.Pick(sorted(names).index(n)) for n in names]


def graph_names(original, keras, model):
    """The graph's name of each input: the model's own of the same place."""
    have = [v.name for v in model.graph.input]
    if len(original.inputs) == 1 and len(have) == 1:
        return have
    struct = getattr(original.raw, "_inputs_struct", None)
    names = []
    for i in original.inputs:
        own = getattr(struct[i.name], "name", None) if isinstance(struct, dict) and i.name in struct else None
        found = next((n for n in (own, i.name) if n in have), None)
        if found is None:
            raise ValueError(f"the export has the inputs {have}, none of them {i.name!r}")
        names.append(found)
    return names
