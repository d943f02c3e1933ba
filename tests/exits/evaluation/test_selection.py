"""Thresholds are selected on the selection split alone; every tie is resolved."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operating_points import operating_point

from acl_lightning.errors import UserError
from acl_lightning.exits import drop_name, full_depth, recommend


def point(criterion: str, threshold: float, quality_selection: float, speed_selection: float):
    """A point whose numbers on the report split differ from those on the selection split."""
    return operating_point(
        criterion, threshold, quality_selection=quality_selection, layer_speedup_selection=speed_selection
    )


STATIC = [point("static", 1, 0.60, 6.0), point("static", 2, 0.85, 3.0), point("static", 3, 0.90, 1.0)]
ADAPTIVE = [
    point("confidence", 0.5, 0.60, 6.0),
    point("confidence", 0.8, 0.885, 2.5),
    point("confidence", 0.9, 0.895, 2.0),
    point("confidence", 0.95, 0.90, 1.5),
    point("confidence", 1.0, 0.90, 1.0),
]


def test_the_fastest_within_each_drop_is_recommended():
    chosen = recommend([*STATIC, *ADAPTIVE], (0, 1, 2, 5, 0.5))
    found = {name: (one.criterion_name, one.threshold) for name, one in chosen.items()}
    assert found == {
        "drop0": ("confidence", 0.95),
        "drop1": ("confidence", 0.9),
        "drop2": ("confidence", 0.8),
        "drop5": ("static", 2),
        "drop0.5": ("confidence", 0.9),
    }


def test_the_report_split_does_not_take_part():
    points = [*STATIC, *ADAPTIVE]
    altered = [replace(one, quality=0.1 * number, layer_speedup=9.0 - number) for number, one in enumerate(points)]
    for name, chosen in recommend(altered).items():
        expected = recommend(points)[name]
        assert (chosen.criterion_name, chosen.threshold) == (expected.criterion_name, expected.threshold)


def test_rounding_does_not_cost_a_point():
    # 0.83 - 0.01 is 0.82 less one bit in floating point the other way round.
    points = [point("static", 3, 0.83, 1.0), point("confidence", 0.9, 0.83 - 0.01 - 1e-12, 2.0)]
    assert recommend(points, (1,))["drop1"].threshold == 0.9


def test_ties_go_to_quality_then_static_then_first_swept_then_highest_threshold():
    full = point("static", 3, 0.9, 1.0)
    better = [full, point("confidence", 0.9, 0.9, 2.0), point("entropy", 0.3, 0.92, 2.0)]
    assert recommend(better, (0,))["drop0"].criterion_name == "entropy"
    simpler = [point("static", 2, 0.9, 2.0), full, point("confidence", 0.9, 0.9, 2.0)]
    assert recommend(simpler, (0,))["drop0"].criterion_name == "static"
    first = [full, point("patience", 1, 0.9, 2.0), point("confidence", 0.9, 0.9, 2.0)]
    assert recommend(first, (0,))["drop0"].criterion_name == "patience"
    cautious = [full, point("confidence", 0.8, 0.9, 2.0), point("confidence", 0.9, 0.9, 2.0)]
    assert recommend(cautious, (0,))["drop0"].threshold == 0.9


def test_full_depth_is_the_answer_when_nothing_is_good_enough_and_when_nothing_is_faster():
    full = point("static", 2, 0.9, 1.0)
    hopeless = [point("static", 1, 0.5, 2.0), full, point("confidence", 0.9, 0.7, 1.5)]
    assert set(recommend(hopeless).values()) == {full}
    assert recommend([full, point("confidence", 1.0, 0.9, 1.0)], (0,))["drop0"] is full


def test_an_undefined_quality_leaves_full_depth():
    full = point("static", 2, math.nan, 1.0)
    assert recommend([full, point("patience", 1, 0.7, 1.5)], (0,))["drop0"] is full
    defined = point("static", 2, 0.9, 1.0)
    assert recommend([defined, point("patience", 1, math.nan, 1.5)], (2,))["drop2"] is defined


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 6)), max_size=8), st.floats(0, 1))
def test_an_answer_always_exists_keeps_its_bound_and_is_no_slower_for_a_larger_drop(others, quality):
    points = [point("static", 1, quality, 1.0)]
    points += [point("confidence", number, *one) for number, one in enumerate(others)]
    chosen = list(recommend(points, (0, 1, 2)).values())
    for drop, one in zip((0, 1, 2), chosen, strict=True):
        assert one.quality_selection >= quality - drop / 100 - 1e-8
    speeds = [one.layer_speedup_selection for one in chosen]
    assert speeds == sorted(speeds)


def test_full_depth_is_the_deepest_static_exit():
    assert full_depth([*ADAPTIVE, *STATIC]) == STATIC[-1]


@pytest.mark.parametrize(("drop", "name"), [(0, "drop0"), (1.0, "drop1"), (0.5, "drop0.5")])
def test_names(drop, name):
    assert drop_name(drop) == name


@pytest.mark.parametrize("drop", [-1.0, math.nan])
def test_a_negative_drop_is_a_mistake(drop):
    with pytest.raises(UserError, match=f"drops of 0 points or more; found {drop}"):
        recommend(STATIC, (drop,))
