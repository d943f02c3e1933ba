"""Export of a trained run as a transformers model directory with a model card, and as ONNX.

Importing this package registers the exported model with transformers, so that
`AutoModelForSequenceClassification.from_pretrained` and `pipeline("text-classification", ...)` load a directory that
`export_run` wrote; for a run on images `AutoModelForImageClassification` and `pipeline("image-classification", ...)`.
Without the import transformers does not recognize the model type `acl_multi_exit`.

`export_run` writes the directory, `load_export` reads and checks it, `export_onnx` writes one exit as a graph for
onnxruntime. The command `python -m acl_lightning export` calls them.
"""

from acl_lightning.export.config import MultiExitConfig, exported_config
from acl_lightning.export.directory import export_run
from acl_lightning.export.image_model import MultiExitForImageClassification
from acl_lightning.export.loading import load_export
from acl_lightning.export.model import EarlyExitOutput, MultiExitForSequenceClassification
from acl_lightning.export.model_card import model_card
from acl_lightning.export.onnx_graph import ExitGraph, export_onnx, export_verified_onnx
from acl_lightning.export.registration import register
from acl_lightning.export.served_points import resolve_point, served_points

__all__ = [
    "EarlyExitOutput",
    "ExitGraph",
    "MultiExitConfig",
    "MultiExitForImageClassification",
    "MultiExitForSequenceClassification",
    "export_onnx",
    "export_run",
    "export_verified_onnx",
    "exported_config",
    "load_export",
    "model_card",
    "register",
    "resolve_point",
    "served_points",
]

register()
