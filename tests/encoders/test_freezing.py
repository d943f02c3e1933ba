"""Freezing of layers of the backbone."""

import pytest
from tiny_models import tiny

from acl_lightning.encoders import EncoderConfig, layers_above
from acl_lightning.errors import UserError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Directories of tiny models by family."""
    root = tmp_path_factory.mktemp("models")
    for family in ("bert", "albert", "albert-groups", "modernbert"):
        tiny(family).save_pretrained(root / family)
    return root


def built(root, family="bert", **settings):
    return EncoderConfig(backbone=str(root / family), **settings).build(2)


def trained_layers(encoder):
    """Layers of the backbone with parameters that are trained."""
    backbone = encoder.backbone
    return {layer for name, p in backbone.named_parameters() if p.requires_grad for layer in backbone.layers_of(name)}


@pytest.mark.parametrize(
    ("frozen", "trained"),
    [
        (None, {0, 1, 2, 3, 4}),
        (0, {1, 2, 3, 4}),
        (2, {3, 4}),
        (4, set()),
        ([3], {0, 1, 2, 4}),
        ([0, 4], {1, 2, 3}),
        ([], {0, 1, 2, 3, 4}),
    ],
)
def test_frozen_layers_are_not_trained(saved, frozen, trained):
    encoder = built(saved, frozen_layers=frozen)
    assert trained_layers(encoder) == trained
    assert all(parameter.requires_grad for parameter in encoder.heads.parameters())


def test_layers_above_the_deepest_exit_may_be_frozen(saved):
    assert trained_layers(built(saved, exits=[2], frozen_layers=4)) == set()


def test_the_final_norm_belongs_to_the_last_layer(saved):
    encoder = built(saved, "modernbert", frozen_layers=3)
    assert encoder.backbone.model.final_norm.weight.requires_grad
    assert not built(saved, "modernbert", frozen_layers=4).backbone.model.final_norm.weight.requires_grad


def test_shared_layers_are_frozen_together(saved):
    assert trained_layers(built(saved, "albert-groups", frozen_layers=2)) == {3, 4}
    assert trained_layers(built(saved, "albert", frozen_layers=0)) == {1, 2, 3, 4}
    with pytest.raises(UserError, match=r"all or none of the layers \[3, 4\].*; found 3\. .*frozen_layers to 2, to 4"):
        built(saved, "albert-groups", frozen_layers=3)


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (5, r"within the 4 layers of the backbone; found 5\. Set model.encoder.frozen_layers to 4 or less"),
        ([1, 9], r"within the 4 layers .*found \[1, 9\]"),
        (-1, r"from 0, or as a list .*; found -1\. Set model.encoder.frozen_layers to a number such as 2"),
        ([1, 1], r"distinct layers .*; found \[1, 1\]"),
    ],
)
def test_layers_out_of_range_are_refused(saved, frozen, message):
    with pytest.raises(UserError, match=message):
        built(saved, frozen_layers=frozen)


def test_layers_above_a_parameter(saved):
    encoder = built(saved, exits=[1, 3])
    above = {
        "backbone.model.encoder.layer.2.output.dense.weight": 0,
        "backbone.model.encoder.layer.0.output.dense.weight": 2,
        "backbone.model.embeddings.word_embeddings.weight": 3,
        "heads.0.classifier.weight": None,
    }
    assert {name: layers_above(encoder, name) for name in above} == above
    shared = built(saved, "albert", exits=[3])
    assert layers_above(shared, "backbone.model.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight") == 0
    assert layers_above(built(saved, "modernbert", exits=[2]), "backbone.model.final_norm.weight") == 0
