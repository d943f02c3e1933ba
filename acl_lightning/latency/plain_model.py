"""The reference of measured speed-ups: the Hugging Face classifier without early exits."""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

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
