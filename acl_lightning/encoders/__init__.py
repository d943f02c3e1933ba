"""Pretrained encoders with exits.

`EncoderConfig(...).build(num_labels)` loads a backbone and adds an exit row and a head at each selected layer. It
returns a `MultiExitEncoder`, which is stepped layer by layer in training and inference. `exit_flops` counts the
floating-point operations up to each exit.
"""

from acl_lightning.encoders.backbone import Backbone, KeysValues, TokenState
from acl_lightning.encoders.config import EncoderConfig
from acl_lightning.encoders.exit_rows import EXIT_ROWS, ClsRow, ExitRow, MeanPool, MeanRow, ProbeRow, SideRow
from acl_lightning.encoders.families import (
    AlbertFamily,
    BertFamily,
    DebertaFamily,
    Dinov2Family,
    DistilBertFamily,
    ImageBackbone,
    ModelBackbone,
    ModernBertFamily,
    MPNetFamily,
    TextBackbone,
    ViTFamily,
)
from acl_lightning.encoders.flops import exit_flops, flop_counter, full_depth_flops, static_exit_flops
from acl_lightning.encoders.freezing import freeze_layers, layers_above
from acl_lightning.encoders.heads import ExitHead
from acl_lightning.encoders.inputs import IMAGE_INPUTS, MODEL_INPUTS, model_inputs
from acl_lightning.encoders.lora import LoRASettings, merged
from acl_lightning.encoders.multi_exit import ExitReading, ExitStep, HalfLayer, MultiExitEncoder
from acl_lightning.encoders.registry import ADAPTERS, BackboneFactory, load_backbone, register_backbone

__all__ = [
    "ADAPTERS",
    "EXIT_ROWS",
    "IMAGE_INPUTS",
    "MODEL_INPUTS",
    "AlbertFamily",
    "Backbone",
    "BackboneFactory",
    "BertFamily",
    "ClsRow",
    "DebertaFamily",
    "Dinov2Family",
    "DistilBertFamily",
    "EncoderConfig",
    "ExitHead",
    "ExitReading",
    "ExitRow",
    "ExitStep",
    "HalfLayer",
    "ImageBackbone",
    "KeysValues",
    "LoRASettings",
    "MPNetFamily",
    "MeanPool",
    "MeanRow",
    "ModelBackbone",
    "ModernBertFamily",
    "MultiExitEncoder",
    "ProbeRow",
    "SideRow",
    "TextBackbone",
    "TokenState",
    "ViTFamily",
    "exit_flops",
    "flop_counter",
    "freeze_layers",
    "full_depth_flops",
    "layers_above",
    "load_backbone",
    "merged",
    "model_inputs",
    "register_backbone",
    "static_exit_flops",
]
