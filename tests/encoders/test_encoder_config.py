"""Settings of the encoder: the encoders they build, and settings that are refused."""

import pytest
import torch

from acl_lightning.encoders import EXIT_ROWS, EncoderConfig
from acl_lightning.errors import UserError


def test_exits_default_to_every_layer(tiny_backbone):
    encoder = EncoderConfig(backbone=tiny_backbone).build(2)
    assert encoder.exit_layers == (1, 2, 3)
    assert encoder.depth == 3
    assert encoder.num_labels == 2


def test_every_head_is_initialised_from_the_pooler_of_the_backbone(tiny_backbone):
    encoder = EncoderConfig(backbone=tiny_backbone, exits=[1, 3]).build(2)
    pretrained = encoder.backbone.pooler()
    assert all(torch.equal(head.pooler.weight, pretrained.weight) for head in encoder.heads)
    assert encoder.heads[0].pooler.weight is not encoder.heads[1].pooler.weight


@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_settings_are_passed_to_the_parts_of_the_encoder(tiny_backbone, kind):
    config = EncoderConfig(
        tiny_backbone, [2], kind, pooler=False, dropout=0.25, label_embeddings="separate", gradient_checkpointing=True
    )
    encoder = config.build(1)
    assert isinstance(encoder.exit_rows[0], EXIT_ROWS[kind])
    assert encoder.heads[0].pooler is None
    assert encoder.heads[0].dropout.p == 0.25
    assert encoder.label_embeddings.shape == (1, 1, 32)
    assert encoder.backbone.gradient_checkpointing


def test_new_parameters_are_determined_by_the_seed(tiny_backbone):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(EncoderConfig(tiny_backbone, exit_row="probe").build(2).state_dict())
    same, again, other = states
    assert all(torch.equal(value, again[name]) for name, value in same.items())
    differing = {name for name, value in same.items() if not torch.equal(value, other[name])}
    assert {name.split(".")[0] for name in differing} == {"heads", "exit_rows"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exits": []}, r"exits in ascending order, counted from 1; found \[\]\. Set .*\[2, 4, 6\]"),
        ({"exits": [2, 1]}, r"exits in ascending order, counted from 1; found \[2, 1\]"),
        ({"exits": [2, 2]}, r"exits in ascending order, counted from 1; found \[2, 2\]"),
        ({"exits": [0, 1]}, r"exits in ascending order, counted from 1; found \[0, 1\]"),
        ({"exits": [1, 4]}, r"exits within the 3 layers of .*; found an exit at layer 4\. Set .* up to 3"),
        ({"dropout": 1.0}, r"a dropout in \[0, 1\); found 1\.0"),
        ({"dropout": -0.1}, r"a dropout in \[0, 1\); found -0\.1"),
        ({"dropout": float("nan")}, r"a dropout in \[0, 1\); found nan"),
        ({"exit_row": "sep"}, r"exit_row to be one of cls, mean_row, probe, mean_pool; found 'sep'"),
        ({"label_embeddings": "shared"}, r"label_embeddings to be tied or separate; found 'shared'"),
    ],
)
def test_settings_out_of_range_are_refused(tiny_backbone, settings, message):
    with pytest.raises(UserError, match=message):
        EncoderConfig(backbone=tiny_backbone, **settings).build(2)
