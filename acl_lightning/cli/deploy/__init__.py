"""Commands that use adaptive ONNX packages. They do not import torch."""
