"""A model of Triton's Python backend: ONNX Runtime on the rows of all requests that Triton batched, one thread, answers split again."""

import json
import pathlib

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        parameters = json.loads(args["model_config"])["parameters"]
        path = pathlib.Path(parameters["onnx"]["string_value"])
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name
        self.outputs = [o.name for o in self.session.get_outputs()]

    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(r, "input").as_numpy() for r in requests]
        joined = inputs[0] if len(inputs) == 1 else np.concatenate(inputs)
        answers = self.session.run(self.outputs, {self.input: joined})
        responses, at = [], 0
        for rows in inputs:
            end = at + len(rows)
            tensors = [pb_utils.Tensor(n, a[at:end]) for n, a in zip(("label", "probabilities"), answers)]
            responses.append(pb_utils.InferenceResponse(tensors))
            at = end
        return responses
