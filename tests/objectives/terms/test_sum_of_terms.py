"""Sums of terms: value, one gradient, properties of the parts, bad input."""

import pytest
import torch
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import (
    ACLEmbed,
    ACLSelfDistillationObjective,
    CrossEntropy,
    SelfDistillation,
    SelfDistillationObjective,
    SquaredError,
    SumOfTerms,
    WeightedObjective,
)


def test_the_sum_is_weighted_and_named_after_its_parts():
    out, labels = outputs()
    term = SumOfTerms([CrossEntropy(), SelfDistillation(2.0)], [0.25, 3.0])
    assert term.name == "cross_entropy_and_self_distillation"
    expected = 0.25 * CrossEntropy().per_exit(out, labels) + 3 * SelfDistillation(2.0).per_exit(out, labels)
    torch.testing.assert_close(term.per_exit(out, labels), expected)
    torch.testing.assert_close(term.within_batch(out, labels), expected)


def test_acl_with_self_distillation_protects_the_loss_of_the_baseline():
    out, labels = outputs()
    terms = ACLSelfDistillationObjective(weight=0.5)(out, labels)
    baseline = sum(SelfDistillationObjective()(out, labels).values())
    assert list(terms) == ["cross_entropy_and_self_distillation", "acl_embed"]
    torch.testing.assert_close(terms["cross_entropy_and_self_distillation"], baseline)


def test_what_the_parts_need_is_checked():
    objective = WeightedObjective(protected=SumOfTerms([CrossEntropy(), SelfDistillation()], [1.0, 1.0]))
    objective.check(classes=True, num_exits=2)
    with pytest.raises(UserError, match="at least 2 exits for self_distillation; found 1"):
        objective.check(classes=True, num_exits=1)
    with pytest.raises(UserError, match="an objective for regression"):
        objective.check(classes=False, num_exits=2)
    objective = WeightedObjective(protected=SumOfTerms([SquaredError()], [2.0]))
    objective.check(classes=False, num_exits=1)
    with pytest.raises(UserError, match="an objective for classes"):
        objective.check(classes=True, num_exits=1)


@pytest.mark.parametrize(
    ("terms", "weights", "message"),
    [
        ([], [], "terms with different names, at least one"),
        ([ACLEmbed(), ACLEmbed()], [1.0, 1.0], "terms with different names"),
        ([ACLEmbed()], [1.0, 2.0], "1 weights, one per term; found 2"),
        ([ACLEmbed()], [-1.0], r"weights >= 0, at least one positive; found \[-1.0\]"),
        ([ACLEmbed()], [0.0], "at least one positive"),
        ([ACLEmbed()], [float("inf")], "weights >= 0"),
    ],
)
def test_bad_sums_are_refused(terms, weights, message):
    with pytest.raises(UserError, match=message):
        SumOfTerms(terms, weights)
