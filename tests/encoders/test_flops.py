"""Counted FLOPs against calculations by hand."""

import pytest
import torch
from tiny_models import ALL_FAMILIES, tiny

from acl_lightning.encoders import (
    ADAPTERS,
    EXIT_ROWS,
    BertFamily,
    ExitHead,
    MultiExitEncoder,
    exit_flops,
    full_depth_flops,
)
from acl_lightning.errors import UserError

D, INNER, C, L = 24, 40, 3, 4


def encoder_of(kind, exits, family="bert", pooler=True):
    heads = [ExitHead(D, C, pooler=pooler, pretrained_pooler=None, dropout=0.1) for _ in exits]
    return MultiExitEncoder(BertFamily(tiny(family)), exits, [EXIT_ROWS[kind](D) for _ in exits], heads)


def rows(number, tokens):
    """Query, scores and mixture, attention output, feed-forward of `number` rows that read `tokens` tokens."""
    return 2 * number * (D * D + 2 * tokens * D + D * D + 2 * D * INNER)


def keys_values(tokens):
    return 2 * tokens * 2 * D * D


HEAD = 2 * D * D + 2 * D * C


@pytest.mark.parametrize("tokens", [1, 5, 16])
@pytest.mark.parametrize("kind", ["cls", "mean_row", "probe"])
def test_counts_equal_the_formula_for_rows(kind, tokens):
    layer, last = keys_values(tokens) + rows(tokens, tokens), keys_values(tokens) + rows(1, tokens)
    passed = layer + rows(1, tokens) + HEAD  # a layer with an exit, left behind
    assert exit_flops(encoder_of(kind, (1, 3, 4)), tokens) == (
        last + HEAD,
        passed + layer + last + HEAD,
        passed + layer + passed + last + HEAD,
    )
    assert full_depth_flops(encoder_of(kind, (1, 3, 4)), tokens) == 3 * layer + last + HEAD


def test_mean_pool_computes_whole_layers():
    layer = keys_values(5) + rows(5, 5)
    assert exit_flops(encoder_of("mean_pool", (1, 2)), 5) == (layer + HEAD, 2 * layer + 2 * HEAD)
    assert full_depth_flops(encoder_of("mean_pool", (1, 2)), 5) == 4 * layer + HEAD


@pytest.mark.parametrize("kind", EXIT_ROWS)
def test_the_reference_does_not_depend_on_the_number_of_exits(kind):
    ordinary = encoder_of(kind, (4,))
    assert exit_flops(ordinary, 7) == (full_depth_flops(ordinary, 7),)
    assert full_depth_flops(encoder_of(kind, (1, 2)), 7) == full_depth_flops(ordinary, 7)


def test_projections_of_embeddings_and_missing_poolers_count():
    plain, projected = (full_depth_flops(encoder_of("cls", (4,), f), 5) for f in ("electra", "electra-projected"))
    assert projected - plain == 2 * 5 * 10 * D
    assert full_depth_flops(encoder_of("cls", (4,), "electra", pooler=False), 5) == plain - 2 * D * D


def test_counting_does_not_change_mode_and_gradients():
    encoder = encoder_of("probe", (1, 4)).train()
    state = torch.random.get_rng_state()
    exit_flops(encoder, 5)
    full_depth_flops(encoder, 5)
    assert encoder.training
    assert all(module.training for module in encoder.heads)
    assert all(p.grad is None for p in encoder.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


def test_too_many_tokens_are_refused():
    with pytest.raises(UserError, match="at most 20 tokens"):
        exit_flops(encoder_of("cls", (1,)), 21)


def backbone_flops(family, tokens):
    """FLOPs of whole layers, of the exit row of the last layer, and of the projection of the embeddings."""
    backbone = ADAPTERS[ALL_FAMILIES[family][0]](tiny(family))
    heads = [ExitHead(D, C, pooler=False, pretrained_pooler=None, dropout=0.1)]
    encoder = MultiExitEncoder(backbone, (L,), [EXIT_ROWS["cls"](D)], heads)
    return full_depth_flops(encoder, tokens) - 2 * D * C


@pytest.mark.parametrize(
    ("family", "embedding", "per_row"),
    [
        ("distilbert", 0, 0),
        ("mpnet", 0, 0),
        ("albert", 2 * 10 * D, 0),
        ("modernbert", 0, 2 * D * INNER),  # the gate of the feed-forward
    ],
)
def test_counts_of_other_families(family, embedding, per_row):
    tokens = 5
    whole = keys_values(tokens) + rows(tokens, tokens) + tokens * per_row
    last = keys_values(tokens) + rows(1, tokens) + per_row
    assert backbone_flops(family, tokens) == tokens * embedding + 3 * whole + last


def test_positions_of_deberta_are_projected_once_per_layer():
    tokens, positions = 5, 8
    table = 2 * 2 * positions * D * D

    def scores(number):
        return 2 * number * positions * D + 2 * positions * tokens * D

    whole = keys_values(tokens) + rows(tokens, tokens) + table + scores(tokens)
    last = keys_values(tokens) + rows(1, tokens) + table + scores(1)
    assert backbone_flops("deberta-v3", tokens) == 3 * whole + last


@pytest.mark.parametrize("family", ["bert", "deberta-v3", "modernbert", "albert"])
def test_counts_in_inference_mode_are_the_same_and_leave_the_parameters_trainable(family):
    backbone = ADAPTERS[ALL_FAMILIES[family][0]](tiny(family))
    heads = [ExitHead(D, C, pooler=False, pretrained_pooler=None, dropout=0.1)]
    encoder = MultiExitEncoder(backbone, (L,), [EXIT_ROWS["cls"](D)], heads).train()
    frozen = next(encoder.parameters()).requires_grad_(False)
    count = exit_flops(encoder, 5)
    with torch.inference_mode():
        assert exit_flops(encoder, 5) == count
    assert [parameter for parameter in encoder.parameters() if not parameter.requires_grad] == [frozen]
    assert encoder.training
