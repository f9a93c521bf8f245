"""PyTorch's modules, by its own exporter: torch.onnx.export with the graph that torch.export captures."""

from . import graph
from .estimators import stacked_types
from .verdict import NotConvertible, need

OLDEST = (2, 6)  # the first whose exporter takes an open axis of rows in the form used here
EXAMPLE_ROWS = 3  # one row would be taken for a fixed size


def ways(original):
    need("onnx", "onnx")
    need("onnxscript", "onnxscript")
    import torch

    version = tuple(int(p) for p in torch.__version__.split(".")[:2])
    if version < OLDEST:
        raise NotConvertible(f"PyTorch {torch.__version__} has no exporter that keeps the number of rows open: 2.6 has")
    if isinstance(original.raw, torch.jit.ScriptModule):
        raise NotConvertible("a TorchScript module has no Python code that the exporter could follow: log the module that it was made of")
    if not isinstance(original.raw, torch.nn.Module):
        raise NotConvertible(f"the model is a {type(original.raw).__name__}, no torch.nn.Module")
    return [("network by torch.export", lambda: export(original, torch))]


def export(original, torch):
    import numpy as np

    rows = [np.concatenate([a] * EXAMPLE_ROWS)[:EXAMPLE_ROWS] for a in original.sample]
    fed = original.feed(rows)
    array = fed if original.tensor else fed.to_numpy(dtype=np.float32)
    program = torch.onnx.export(
        original.raw, (torch.from_numpy(array),), dynamo=True, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), input_names=["sluice_in"], verbose=False
    )
    model = graph.fit(program.model_proto, [graph.Pick(0)], original.matrix())
    if original.tensor:
        i = original.inputs[0]
        return graph.feed(model, [(i.name or "X", i.dtype.name, i.shape)])
    return graph.feed(model, [("X", stacked_types([i.dtype.name for i in original.inputs]), (len(original.inputs),))])
