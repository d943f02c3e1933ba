"""Totals, exit weights, precision and bad input of `WeightedObjective`."""

import pytest
import torch
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import (
    ACF,
    ACLCrossLayer,
    ACLEmbed,
    Ascending,
    CrossEntropy,
    Listed,
    SelfDistillation,
    SquaredError,
    SupervisedContrastive,
    Uniform,
    WeightedObjective,
)
from acl_lightning.outputs import ExitOutputs


def test_additive_and_convex_totals():
    out, labels = outputs()
    w = Ascending()(3).double()
    ce, acl = CrossEntropy().per_exit(out, labels) @ w, ACLEmbed(0.3).per_exit(out, labels) @ w
    additive = WeightedObjective(ACLEmbed(0.3), weight=0.5)(out, labels)
    assert list(additive) == ["cross_entropy", "acl_embed"]
    torch.testing.assert_close(additive["cross_entropy"], ce)
    torch.testing.assert_close(additive["acl_embed"], 0.5 * acl)
    convex = WeightedObjective(ACLEmbed(0.3), weight=0.9, convex=True)(out, labels)
    torch.testing.assert_close(sum(convex.values()), 0.1 * ce + 0.9 * acl)


def test_several_terms_have_their_own_weights_and_exit_weights():
    out, labels = outputs()
    objective = WeightedObjective(
        [ACLEmbed(), SupervisedContrastive()], weight=[0.2, 0.3], convex=True, auxiliary_exit_weights=Uniform()
    )
    terms = objective(out, labels)
    torch.testing.assert_close(
        terms["cross_entropy"], 0.5 * CrossEntropy().per_exit(out, labels) @ Ascending()(3).double()
    )
    torch.testing.assert_close(
        terms["supervised_contrastive"], 0.3 * SupervisedContrastive().per_exit(out, labels).mean()
    )


@pytest.mark.parametrize("convex", [False, True])
def test_every_term_beside_every_other(convex):
    """Five auxiliary terms, each with its lambda; weights of their own for the exits; one without weight."""
    out, labels = outputs()
    terms = [SupervisedContrastive(), ACLEmbed(), ACLCrossLayer(), ACF(), SelfDistillation()]
    lambdas, aside = [0.1, 0.2, 0.3, 0.0, 0.05], Listed([3, 1, 0])
    found = WeightedObjective(terms, lambdas, convex, exit_weights=Uniform(), auxiliary_exit_weights=aside)(out, labels)
    assert list(found) == ["cross_entropy", *(term.name for term in terms)]
    protected = (1 - sum(lambdas)) if convex else 1.0
    torch.testing.assert_close(found["cross_entropy"], protected * CrossEntropy().per_exit(out, labels).mean())
    for term, weight in zip(terms, lambdas, strict=True):
        torch.testing.assert_close(found[term.name], weight * term.per_exit(out, labels) @ aside(3).double())
    sum(found.values()).backward()
    assert out.embeddings_EBD.grad.isfinite().all()


def test_exits_without_teacher_get_no_gradient_from_the_term():
    out, labels = outputs()
    found = WeightedObjective(ACLCrossLayer(students=[1]))(out, labels)
    found["acl_cl"].backward()
    assert [bool(gradient.abs().max() > 0) for gradient in out.embeddings_EBD.grad] == [True, False, False]
    assert out.logits_EBC.grad is None


@pytest.mark.parametrize("weights", [Ascending(), Uniform(), Listed([1, 2, 0])])
def test_exit_weights_sum_to_one(weights):
    assert weights(3).sum().item() == pytest.approx(1)


def test_ascending_weights_are_those_of_pabee():
    torch.testing.assert_close(Ascending()(3), torch.tensor([1, 2, 3]) / 6)
    torch.testing.assert_close(Listed([1, 1, 2])(3), torch.tensor([0.25, 0.25, 0.5]))


def test_autocast_does_not_reach_the_similarities():
    out, labels = outputs(dtype=torch.float32)
    objective = WeightedObjective(ACLEmbed(0.05))
    reference = objective(out, labels)
    with torch.autocast("cpu", torch.bfloat16):
        inside = objective(out, labels)
    assert {k: v.item() for k, v in inside.items()} == {k: v.item() for k, v in reference.items()}
    half = ExitOutputs(out.embeddings_EBD.bfloat16(), out.logits_EBC.bfloat16(), out.label_embeddings_ECD)
    assert all(term.dtype == torch.float32 for term in objective(half, labels).values())


def test_terms_that_do_not_fit_the_labels_are_refused():
    for objective in (WeightedObjective(), WeightedObjective(ACLEmbed(), protected=SquaredError())):
        with pytest.raises(UserError, match="an objective for regression"):
            objective.check(classes=False, num_exits=3)
    WeightedObjective().check(classes=True, num_exits=1)
    WeightedObjective(protected=SquaredError()).check(classes=False, num_exits=1)
    with pytest.raises(UserError, match="an objective for classes"):
        WeightedObjective(protected=SquaredError()).check(classes=True, num_exits=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, r"weights \(lambda\) >= 0; found \[-1.0\]"),
        ({"weight": float("nan")}, "lambda"),
        ({"weight": [1.0, 2.0]}, "1 weights, one per auxiliary term; found 2"),
        ({"weight": 1.0, "convex": True}, r"lambda in \[0, 1\); found 1.0"),
    ],
)
def test_bad_weights_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        WeightedObjective(ACLEmbed(), **arguments)


def test_a_repeated_term_is_refused():
    with pytest.raises(UserError, match="each term once"):
        WeightedObjective([ACLEmbed(), ACLEmbed()])


@pytest.mark.parametrize("weights", [[], [-1.0, 2.0], [0.0, 0.0], [float("inf")]])
def test_bad_exit_weights_are_refused(weights):
    with pytest.raises(UserError, match="exit weights >= 0"):
        Listed(weights)


def test_exit_weights_of_the_wrong_number_are_refused():
    with pytest.raises(UserError, match="3 exit weights, one per exit; found 2"):
        Listed([1, 2])(3)
    for name in ("exit_weights", "auxiliary_exit_weights"):  # before training
        with pytest.raises(UserError, match="3 exit weights, one per exit; found 2"):
            WeightedObjective(**{name: Listed([1, 2])}).check(classes=True, num_exits=3)
