"""The front and the area of a curve against brute force, and difficulty against scipy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operating_points import operating_point
from scipy.stats import spearmanr

from acl_lightning.errors import UserError
from acl_lightning.exits import PCEE, area_under_curve, as_curve, mean_layer_by_grade, pareto_front, spearman

coordinates = st.tuples(
    st.integers(4, 24).map(lambda quarter: quarter / 4), st.integers(0, 20).map(lambda step: step / 20)
)


def point(speed: float, quality: float, criterion="confidence"):
    return operating_point(
        criterion,
        quality=quality,
        mean_exit_layer=6 / speed,
        layer_speedup=speed,
        layer_saving=1 - 1 / speed,
        flops_speedup=speed,
        quality_selection=quality,
        layer_speedup_selection=speed,
        flops_speedup_selection=speed,
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(coordinates, max_size=10))
def test_the_front_holds_exactly_what_nothing_dominates(pairs):
    front = [(one.layer_speedup, one.quality) for one in pareto_front([point(*pair) for pair in pairs])]
    undominated = {
        pair
        for pair in pairs
        if not any(other != pair and other[0] >= pair[0] and other[1] >= pair[1] for other in pairs)
    }
    assert front == sorted(undominated)


@settings(max_examples=40, deadline=None)
@given(st.lists(coordinates, max_size=10), coordinates)
def test_the_area_is_the_mean_of_the_best_quality_at_or_above_each_speed(pairs, extra):
    points = [point(*pair) for pair in pairs]
    # Speeds are quarters: between two of them the step function is constant, so midpoints integrate it exactly.
    midpoints = [1 + (number + 0.5) / 4 for number in range(8)]
    best = [max((quality for speed, quality in pairs if speed >= middle), default=0.0) for middle in midpoints]
    area = area_under_curve(points)
    assert area == pytest.approx(sum(best) / len(best))
    assert area_under_curve([*points, point(*extra)]) >= area - 1e-12


def test_a_perfect_fast_model_has_area_one_and_no_model_zero():
    assert area_under_curve([point(3.0, 1.0)]) == 1.0
    assert area_under_curve([]) == 0.0
    assert area_under_curve([point(2.0, 0.8)]) == pytest.approx(0.4)
    assert area_under_curve([point(2.0, -0.3), point(1.5, math.nan)]) == 0.0


def test_an_empty_range_is_a_mistake():
    with pytest.raises(UserError, match="low < high"):
        area_under_curve([], (2.0, 2.0))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 4)), min_size=2, max_size=30))
def test_spearman_equals_scipys(pairs):
    layers, grades = (list(column) for column in zip(*pairs, strict=True))
    rho = spearman(torch.tensor(layers), torch.tensor(grades))
    if len(set(layers)) == 1 or len(set(grades)) == 1:
        assert rho is None
    else:
        assert rho == pytest.approx(spearmanr(layers, grades).statistic)


def test_mean_layer_by_grade():
    assert mean_layer_by_grade(torch.tensor([2, 4, 1, 6]), torch.tensor([3, 3, 0, 3])) == {0: 1.0, 3: 4.0}


def test_a_family_is_a_line_chosen_on_the_selection_split():
    lucky = replace(point(3.0, 1.0, PCEE(0.5)), quality_selection=0.1)
    chosen = replace(point(2.0, 0.6, PCEE(0.2)), quality_selection=0.9)
    beaten = replace(point(1.5, 0.99, PCEE(0.3)), quality_selection=0.8)
    assert as_curve([lucky, chosen, beaten]) == [chosen, lucky]
    plain = [point(1.0, 0.9), point(1.5, 0.5), point(2.0, 0.8)]
    assert as_curve(plain) == plain
