"""Surgery on converted graphs: inputs take what the signature declares, the output is what pyfunc's predict answers, nothing else stays."""

import numpy as np

from .verdict import need

SIGNATURE_TYPES = {
    "boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FLOAT", "double": "DOUBLE", "string": "STRING",
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32",
    "uint64": "UINT64", "float16": "FLOAT16", "float32": "FLOAT", "float64": "DOUBLE",
}  # fmt: skip


def onnx():
    return need("onnx", "onnx")


class Pick:
    """One column of the answer: an output of the graph, perhaps one of its columns, perhaps its logarithm."""

    def __init__(self, output, column=None, operator=None):
        self.output, self.column, self.operator = output, column, operator


def fit(model, picks, answer):
    """Makes the graph's outputs the picks, with the shapes and the kinds of values of the original's answer."""
    o = onnx()
    graph = model.graph
    declared = {v.name: v for v in graph.output}
    names = [c["name"] or "predictions" for c in answer.columns]
    outputs = []
    for number, (pick, name) in enumerate(zip(picks, names, strict=True)):
        outputs.append(_output(o, graph, declared[graph.output[pick.output].name], pick, name, number, answer))
    del graph.output[:]
    graph.output.extend(outputs)
    if not any(opset.domain == "" for opset in model.opset_import):  # trees alone need none of it, what is added here does
        model.opset_import.append(o.helper.make_opsetid("", 15))
    prune(model)
    o.checker.check_model(model)
    return model


def _output(o, graph, value, pick, name, number, answer):
    T = o.TensorProto
    current, elem = value.name, value.type.tensor_type.elem_type
    rank = len(value.type.tensor_type.shape.dim) if value.type.tensor_type.HasField("shape") else -1
    if not value.type.HasField("tensor_type") or elem == 0:
        raise ValueError(f"output {value.name} is no tensor")

    def step(op, inputs, **attributes):
        nonlocal current
        result = f"sluice_{op}_{number}_{len(graph.node)}"
        graph.node.append(o.helper.make_node(op, [current, *inputs], [result], name=result, **attributes))
        current = result

    def constant(values):
        at = f"sluice_constant_{number}_{len(graph.initializer)}"
        graph.initializer.append(o.numpy_helper.from_array(np.array(values, dtype=np.int64), at))
        return at

    if pick.operator:
        step(pick.operator, [])
    if pick.column is not None:
        step("Gather", [constant([pick.column])], axis=1)
        rank = 2
    kind, shape, dtype = answer.columns[number]["kind"], answer.columns[number]["shape"], answer.dtypes[number]
    if rank != len(shape):
        step("Reshape", [constant([-1, *shape[1:]])])
    wanted = _element(T, kind, dtype, elem)
    if wanted != elem:
        step("Cast", [], to=wanted)
    graph.node.append(o.helper.make_node("Identity", [current], [name], name=f"sluice_answer_{number}"))
    return o.helper.make_tensor_value_info(name, wanted, ["rows", *shape[1:]])


def _element(T, kind, dtype, elem):
    """The type that writes the original's values as JSON does; floats stay as narrow as they are."""
    floats = (T.FLOAT, T.DOUBLE, T.FLOAT16)
    if kind == "text":
        if elem != T.STRING:
            raise ValueError("the original answers texts, the conversion numbers")
        return elem
    if kind == "float":
        return elem if elem in floats else T.DOUBLE
    if kind == "bool":
        return T.BOOL
    return elem if elem in (T.INT64, T.INT32) else T.INT64


def prune(model):
    """Drops nodes and constants that lead to no output."""
    graph = model.graph
    wanted = {v.name for v in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input) | _outer(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [i for i in graph.initializer if i.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(constants)
    del graph.value_info[:]


def _outer(node):
    """Names that the node's subgraphs may take from around them."""
    names = set()
    for attribute in node.attribute:
        for sub in [attribute.g, *attribute.graphs]:
            for inner in sub.node:
                names |= set(inner.input) | _outer(inner)
            names |= {v.name for v in sub.output}
    return names


def feed(model, columns):
    """Makes the graph's inputs [(name, signature type, shape of a row)], casting inside where a converter wanted another type."""
    o = onnx()
    graph = model.graph
    if len(graph.input) != len(columns):
        raise ValueError(f"the conversion has {len(graph.input)} inputs for {len(columns)}")
    inputs, casts = [], []
    taken = {v.name for v in graph.input}
    for value, (name, kind, shape) in zip(graph.input, columns, strict=True):
        elem = getattr(o.TensorProto, SIGNATURE_TYPES[kind])
        inside = value.type.tensor_type.elem_type
        if elem == inside or (elem == o.TensorProto.DOUBLE and inside == o.TensorProto.FLOAT and len(columns) == 1):
            elem = inside  # a matrix of doubles is narrowed on its way in
        target = value.name
        if name != value.name and (elem == inside):
            casts.append(o.helper.make_node("Identity", [name], [target], name=f"sluice_input_{len(casts)}"))
        elif elem != inside:
            if name == value.name or name in taken:
                target = f"sluice_cast_{len(casts)}"
                rename(graph, value.name, target)
            casts.append(o.helper.make_node("Cast", [name], [target], name=f"sluice_input_{len(casts)}", to=inside))
        inputs.append(o.helper.make_tensor_value_info(name, elem, ["rows", *shape]))
    del graph.input[:]
    graph.input.extend(inputs)
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def rename(graph, old, new):
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new


def everywhere_locale(model):
    """Makes texts lower case by a locale that every Linux has; the operator's default is often not installed."""
    o = onnx()
    for node in model.graph.node:
        if node.op_type == "StringNormalizer" and not any(a.name == "locale" for a in node.attribute):
            node.attribute.append(o.helper.make_attribute("locale", "C.UTF-8"))


def plain(value):
    """Arrays and numpy's numbers as lists and Python's."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list) and any(isinstance(v, (np.generic, bool)) for v in value):
        value = [v.item() if isinstance(v, np.generic) else v for v in value]
        return [int(v) if isinstance(v, bool) else v for v in value]
    return value


class Trees:
    """Remembers the thresholds and weights of trees as they come from a converter that will write them as 32-bit floats.

    Use as a context manager around the conversion; restore writes them back, so that trees compare doubles as the original does. Attributes that
    converters hand over as arrays, which onnx does not take, become lists on the way.
    """

    def __init__(self):
        self._found, self._patched = {}, []

    def __enter__(self):
        from skl2onnx.common import _container as ours

        kinds = {ours.ModelComponentContainer}
        try:
            from onnxmltools.convert.common import _container as theirs

            kinds.add(theirs.ModelComponentContainer)
        except ImportError:
            pass
        for kind in kinds:
            self._patched.append((kind, kind.add_node))
            kind.add_node = self._recording(kind.add_node)
        return self

    def __exit__(self, *_):
        for kind, method in self._patched:
            kind.add_node = method

    def _recording(self, method):
        found = self._found

        def add_node(container, op_type, inputs, outputs, *args, **attributes):
            if isinstance(op_type, str) and op_type.startswith("TreeEnsemble") and "name" in attributes:
                keys = ("nodes_values", "class_weights", "target_weights", "base_values")
                found[attributes["name"]] = {k: np.array(attributes[k], dtype=np.float64) for k in keys if attributes.get(k) is not None and len(attributes[k])}
            attributes = {k: v if k.endswith("_as_tensor") else plain(v) for k, v in attributes.items()}
            return method(container, op_type, inputs, outputs, *args, **attributes)

        return add_node

    def restore(self, model):
        """Makes trees that are fed the graph's only input compare doubles. Raises ValueError if there is no such tree."""
        o = onnx()
        graph = model.graph
        changed = 0
        for node in graph.node:
            values = self._found.get(node.name)
            if values is None or list(node.input) != [graph.input[0].name]:
                continue
            kept = [a for a in node.attribute if a.name not in values]
            del node.attribute[:]
            node.attribute.extend(kept)
            for key, array in values.items():
                node.attribute.append(o.helper.make_attribute(f"{key}_as_tensor", o.numpy_helper.from_array(array, key)))
            changed += 1
        if not changed:
            raise ValueError("no tree takes the input itself")
        graph.input[0].type.tensor_type.elem_type = o.TensorProto.DOUBLE
        for opset in model.opset_import:
            if opset.domain == "ai.onnx.ml":
                opset.version = max(opset.version, 3)
        return model
