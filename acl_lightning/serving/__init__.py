"""Adaptive inference without torch: packages that `export --format onnx` wrote, on onnxruntime.

`AdaptiveSession` answers texts. Everything here imports onnxruntime, numpy, tokenizers and the standard library only;
the distribution `acl-lightning-runtime` contains nothing else.
"""

from acl_lightning.serving.adaptive import MODES, AdaptiveSession, Mode
from acl_lightning.serving.answers import Answers
from acl_lightning.serving.criteria import ServedCriterion, served_criterion
from acl_lightning.serving.manifest import Manifest, ServedPoint, read_manifest
from acl_lightning.serving.tokens import Text, TextEncoder, TokenBatch

__all__ = [
    "MODES",
    "AdaptiveSession",
    "Answers",
    "Manifest",
    "Mode",
    "ServedCriterion",
    "ServedPoint",
    "Text",
    "TextEncoder",
    "TokenBatch",
    "read_manifest",
    "served_criterion",
]
