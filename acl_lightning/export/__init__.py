"""A trained encoder for others: as a transformers model directory with a model card, and as ONNX.

`export_run` turns a run into a directory that `AutoModelForSequenceClassification.from_pretrained` loads once
`acl_lightning` is imported, operating points and all; `export_onnx` writes one exit as a graph for onnxruntime. The
command line's `export` is both.
"""

from acl_lightning.export.directory import export_run, exported_config
from acl_lightning.export.loading import load_export
from acl_lightning.export.model import EarlyExitOutput, MultiExitForSequenceClassification
from acl_lightning.export.model_card import model_card
from acl_lightning.export.onnx_graph import ExitGraph, export_onnx
from acl_lightning.export.served_points import resolve_point, served_points

__all__ = [
    "EarlyExitOutput",
    "ExitGraph",
    "MultiExitForSequenceClassification",
    "export_onnx",
    "export_run",
    "exported_config",
    "load_export",
    "model_card",
    "resolve_point",
    "served_points",
]
