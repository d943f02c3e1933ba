"""Schedules of weights: values, totals of an objective, bad input."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from random_outputs import outputs

from acl_lightning.errors import UserError
from acl_lightning.objectives import (
    ACLEmbed,
    ConstantWeight,
    ContrastFirstObjective,
    CosineWeight,
    CrossEntropy,
    LinearWeight,
    SupervisedContrastive,
    Uniform,
    WeightedObjective,
)


def test_linear_up_and_down():
    up, down = LinearWeight(until=0.5), LinearWeight(1.0, 0.2, begin=0.25, until=0.75)
    assert [up(p) for p in (0, 0.25, 0.5, 1)] == [0, 0.5, 1, 1]
    assert [down(p) for p in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([1, 1, 0.6, 0.2, 0.2])


def test_cosine_and_constant():
    assert [CosineWeight()(p) for p in (0, 0.25, 0.5, 1)] == pytest.approx([0, (1 - math.sqrt(0.5)) / 2, 0.5, 1])
    assert CosineWeight(1.0, 0.0)(0.5) == pytest.approx(0.5)
    assert {ConstantWeight()(p) for p in (0.0, 0.3, 1.0)} == {1.0}


def test_a_jump():
    jump = LinearWeight(begin=0.5, until=0.5)
    assert [jump(p) for p in (0, 0.49, 0.5, 1)] == [0, 0, 1, 1]


@pytest.mark.parametrize("kind", [LinearWeight, CosineWeight])
@given(ends=st.tuples(*[st.floats(0, 1)] * 2), span=st.tuples(*[st.floats(0, 1)] * 2), p=st.floats(0, 1))
def test_factors_are_between_start_and_end_and_monotonic(kind, ends, span, p):
    schedule = kind(*ends, *sorted(span))
    low, high = sorted(ends)
    assert low - 1e-12 <= schedule(p) <= high + 1e-12
    assert (schedule(min(1.0, p + 0.1)) - schedule(p)) * (ends[1] - ends[0]) >= -1e-12


def test_weights_follow_the_progress():
    out, labels = outputs()
    objective = WeightedObjective(
        [ACLEmbed(), SupervisedContrastive()],
        [0.5, 2.0],
        exit_weights=Uniform(),
        schedule=[LinearWeight(), ConstantWeight()],
        protected_schedule=LinearWeight(1.0, 0.5),
    )
    ce, acl = (term.per_exit(out, labels).mean() for term in (CrossEntropy(), ACLEmbed()))
    for progress, weights in {0.0: (1.0, 0.0, 2.0), 0.5: (0.75, 0.25, 2.0), 1.0: (0.5, 0.5, 2.0)}.items():
        objective.progress = progress
        assert tuple(objective.scheduled_weights().values()) == pytest.approx(weights)
        terms = objective(out, labels)
        torch.testing.assert_close(terms["cross_entropy"], weights[0] * ce)
        torch.testing.assert_close(terms["acl_embed"], weights[1] * acl)


def test_a_convex_total_gives_the_rest_to_the_protected_term():
    objective = WeightedObjective([ACLEmbed(), SupervisedContrastive()], [0.3, 0.6], True, schedule=LinearWeight(1, 0))
    for progress, weights in {0.0: (0.1, 0.3, 0.6), 0.5: (0.55, 0.15, 0.3), 1.0: (1.0, 0.0, 0.0)}.items():
        objective.progress = progress
        assert tuple(objective.weights().values()) == pytest.approx(weights)


def test_contrast_first():
    objective = ContrastFirstObjective(weight=0.5, until=0.25)
    weights = []
    for objective.progress in (0.0, 0.125, 0.25, 1.0):
        weights.append(tuple(objective.scheduled_weights().values()))
    assert weights == [(0.0, 0.5), (0.5, 0.5), (1.0, 0.5), (1.0, 0.5)]


def test_constant_weights_are_not_logged():
    assert WeightedObjective(ACLEmbed()).scheduled_weights() == {}
    assert WeightedObjective(ACLEmbed(), 0.5).weights() == {"cross_entropy": 1.0, "acl_embed": 0.5}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -0.1}, r"a schedule with start in \[0, 1\]; found -0.1. Set start to 0"),
        ({"end": 1.5}, r"a schedule with end in \[0, 1\]; found 1.5. Set end to 1"),
        ({"until": float("nan")}, r"a schedule with until in \[0, 1\]; found nan"),
        ({"begin": 0.5, "until": 0.25}, "a schedule with until >= begin = 0.5; found until = 0.25"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    for kind in (LinearWeight, CosineWeight):
        with pytest.raises(UserError, match=message):
            kind(**arguments)


def test_a_schedule_per_term():
    with pytest.raises(UserError, match="1 schedules, one per auxiliary term; found 2"):
        WeightedObjective(ACLEmbed(), schedule=[LinearWeight(), LinearWeight()])
