"""Converts a model package to ONNX beside the gateway, one process for one model.

It runs in the model's own environment, is started by the Go package of the same name and speaks with it in lines of JSON. The converters
may lie in folders of their own, which come after everything that the environment has.
"""
