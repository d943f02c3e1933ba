"""The reference of measured speed: the model that people would run without early exits."""

from __future__ import annotations

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from acl_lightning.pretrained import resolve_pretrained


def plain_model(backbone: str, num_labels: int, device: torch.device) -> nn.Module:
    """The Hugging Face sequence classifier of a backbone's architecture: all its layers, sdpa, float32, eval mode.

    Its weights are random. They are not needed: time does not depend on them, and nobody looks at the answers.

    Args:
        backbone: as in `EncoderConfig`.
        num_labels: C; 1 for regression.
        device: where it goes.
    """
    config = AutoConfig.from_pretrained(resolve_pretrained(backbone), num_labels=num_labels, trust_remote_code=False)
    model: nn.Module = AutoModelForSequenceClassification.from_config(
        config, attn_implementation="sdpa", dtype=torch.float32
    )
    return model.to(device).eval()
