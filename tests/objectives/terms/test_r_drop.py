"""R-Drop against its oracle and torch; views as seen by other terms; bad input."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import r_drop_oracle
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import (
    ACLEmbed,
    ACLRDropObjective,
    CrossEntropy,
    RDrop,
    RDropObjective,
    SumOfTerms,
    SupervisedContrastive,
    Uniform,
    WeightedObjective,
)
from acl_lightning.outputs import ExitOutputs


def two_views(seed=0, B=4, **shape):
    """Outputs with two views of B samples, and their labels."""
    out, labels = outputs(seed, B=2 * B, **shape)
    return replace(out, views=2), labels[:B].repeat(2)


@given(seed=st.integers(0, 10_000), batch=st.integers(1, 5), classes=st.integers(2, 4))
@settings(max_examples=20, deadline=None)
def test_it_equals_the_slow_oracle_and_torch(seed, batch, classes):
    out, labels = two_views(seed, batch, C=classes)
    loss_E = RDrop().per_exit(out, labels)
    for e, logits_BC in enumerate(out.logits_EBC):
        first, second = logits_BC.detach().chunk(2)
        assert loss_E[e].item() == pytest.approx(r_drop_oracle(first.tolist(), second.tolist()), rel=1e-9)
        p, q = first.log_softmax(-1), second.log_softmax(-1)
        both = [F.kl_div(b, a, reduction="batchmean", log_target=True) for a, b in ((p, q), (q, p))]
        torch.testing.assert_close(loss_E[e], (both[0] + both[1]) / 2)


def test_gradcheck_and_both_views_learn():
    out, labels = two_views(E=2)

    def loss(logits_EBC):
        return RDrop().per_exit(replace(out, logits_EBC=logits_EBC), labels)

    assert torch.autograd.gradcheck(loss, out.logits_EBC)
    loss(out.logits_EBC).sum().backward()
    assert all(view.abs().max() > 1e-3 for view in out.logits_EBC.grad.chunk(2, dim=1))


@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_equal_and_extreme_predictions_stay_finite(scale):
    out, labels = two_views(B=1, dtype=torch.float32, scale=scale)
    loss = RDrop().per_exit(out, labels).sum()
    loss.backward()
    assert loss.isfinite()
    assert out.logits_EBC.grad.isfinite().all()
    assert (loss == 0) == (scale == 0)


def test_the_cross_entropy_is_the_mean_over_both_views():
    out, labels = two_views()
    terms = RDropObjective(0.7, exit_weights=Uniform())(out, labels)
    each = [
        CrossEntropy().per_exit(ExitOutputs(out.embeddings_EBD, logits, out.label_embeddings_ECD), labels[:4]).mean()
        for logits in out.logits_EBC.chunk(2, dim=1)
    ]
    torch.testing.assert_close(terms["cross_entropy"], (each[0] + each[1]) / 2)
    torch.testing.assert_close(terms["r_drop"], 0.7 * RDrop().per_exit(out, labels).mean())


@pytest.mark.parametrize("number", [None, 1])
def test_contrastive_terms_see_both_views_or_the_first(number):
    out, labels = two_views()
    objective = WeightedObjective([RDrop(), ACLEmbed()], exit_weights=Uniform(), auxiliary_views=number)
    seen = (out, labels) if number is None else (out.first_views(1), labels[:4])
    terms = objective(out, labels)
    torch.testing.assert_close(terms["acl_embed"], ACLEmbed().per_exit(*seen).mean())
    torch.testing.assert_close(terms["r_drop"], RDrop().per_exit(out, labels).mean())  # needs both
    terms["acl_embed"].backward()
    assert [bool(view.abs().max() > 0) for view in out.embeddings_EBD.grad.chunk(2, dim=1)] == [True, number is None]
    per_exit = objective.losses_per_exit(out, labels)
    torch.testing.assert_close(per_exit["acl_embed"], ACLEmbed().per_exit(*seen))


def test_with_both_views_every_sample_has_a_positive():
    out, _ = two_views(B=2)
    alone = out.first_views(1)
    assert alone.views == 1
    assert SupervisedContrastive().per_exit(alone, torch.tensor([0, 1])).max() == 0
    assert SupervisedContrastive().per_exit(out, torch.tensor([0, 1, 0, 1])).min() > 0


def test_objectives_state_how_many_views_they_need():
    assert WeightedObjective(ACLEmbed()).num_views == 1
    assert RDropObjective().num_views == 2
    assert ACLRDropObjective().num_views == 2  # the term is a part of the protected sum
    assert WeightedObjective(SumOfTerms([ACLEmbed(), RDrop()], [1, 1])).num_views == 2


def test_outputs_keep_their_views():
    out, _ = two_views(dtype=torch.bfloat16)
    assert {out.detached().views, out.at_least_float32().views, out.first_views(2).views} == {2}


def test_a_single_view_is_refused():
    out, labels = outputs()
    with pytest.raises(UserError, match="outputs with 2 views for r_drop; found 1"):
        RDrop().per_exit(out, labels)


@pytest.mark.parametrize("number", [0, 2])
def test_views_that_the_objective_does_not_have_are_refused(number):
    with pytest.raises(
        UserError, match=f"auxiliary_views from 1 to 1, .*; found {number}. Set auxiliary_views to null"
    ):
        WeightedObjective(ACLEmbed(), auxiliary_views=number)
