"""Untrained models to serve."""

import pytest
import torch
from transformers import AutoTokenizer

from acl_lightning.demo import ServedModel
from acl_lightning.encoders import EncoderConfig
from acl_lightning.exits import Patience, Static


@pytest.fixture(scope="session")
def served(tiny_backbone) -> ServedModel:
    """Three exits, two classes, one text."""
    torch.manual_seed(0)
    encoder = EncoderConfig(backbone=tiny_backbone).build(num_labels=2).eval()
    with torch.no_grad():
        for head in encoder.heads:
            head.classifier.weight.mul_(20)  # so that the answers of the exits differ
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    points = {"drop0": (Patience(), 1.0), "drop1": (Static(), 2.0)}
    return ServedModel(
        encoder,
        tokenizer,
        ("negative", "positive"),
        ("sentence",),
        "sst2",
        points=points,
        recommended_point="drop1",
    )


@pytest.fixture(scope="session")
def served_regression(tiny_backbone) -> ServedModel:
    """Two exits, one value, pairs of texts."""
    torch.manual_seed(0)
    encoder = EncoderConfig(backbone=tiny_backbone, exits=[1, 3]).build(num_labels=1).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_backbone)
    return ServedModel(encoder, tokenizer, (), ("sentence1", "sentence2"), "stsb")
