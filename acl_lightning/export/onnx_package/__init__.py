"""Export of a run as an adaptive ONNX package: a directory that `acl_lightning.serving` runs without torch."""
