"""The reference of measured speed-ups: the Hugging Face classifier without early exits."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

from acl_lightning.encoders import MultiExitEncoder
from acl_lightning.pretrained import resolve_pretrained


def plain_model(backbone: str, num_labels: int, device: torch.device) -> nn.Module:
    """Return the Hugging Face sequence classifier of a backbone: all layers, sdpa attention, float32, evaluation mode.

    Its weights are random, since time does not depend on them.

    Args:
        backbone: Hub id, directory or package, as in `EncoderConfig`.
        num_labels: Number of classes C; 1 for regression.
        device: Device of the model.
    """
    config = AutoConfig.from_pretrained(resolve_pretrained(backbone), num_labels=num_labels, trust_remote_code=False)
    model: nn.Module = AutoModelForSequenceClassification.from_config(
        config, attn_implementation="sdpa", dtype=torch.float32
    )
    return model.to(device).eval()


def plain_image_model(encoder: MultiExitEncoder, device: torch.device) -> nn.Module:
    """Return the Hugging Face image classifier with the backbone of an encoder, otherwise as `plain_model`.

    Args:
        encoder: Encoder of images. Layers above its deepest exit count, too.
        device: Device of the model.
    """
    backbone: Any = encoder.backbone
    config = copy.deepcopy(backbone.model.config)
    config.num_labels, config.num_hidden_layers = encoder.num_labels, encoder.depth
    config.architectures = []  # of two classifiers (DeiT), the first of transformers
    model: nn.Module = AutoModelForImageClassification.from_config(
        config, attn_implementation="sdpa", dtype=torch.float32
    )
    return model.to(device).eval()
