"""Budgets: the constraint of each kind on the selection split, ties, names, and what no point keeps."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operating_points import operating_point

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    LatencyTable,
    MaxDrop,
    MaxLatency,
    MinMeasuredSpeedup,
    MinSpeedup,
    cross_fit,
    elue_score,
    pareto_front,
    recommend,
)


def point(criterion, threshold, quality, speed, shares=(0.5, 0.5), reported=-1.0):
    """A point whose selection split has this quality and layer speed-up; its FLOPs speed-up is 1.5 times as large."""
    return operating_point(
        criterion,
        threshold,
        quality=reported,
        layer_speedup=2.0,
        flops_speedup=3.0,
        quality_selection=quality,
        layer_speedup_selection=speed,
        flops_speedup_selection=1.5 * speed,
        shares_selection_E=tuple(shares),
    )


FULL = point("static", 2, 0.90, 1.0, (0, 1), reported=0.8)
POINTS = [
    point("static", 1, 0.60, 6.0, (1, 0)),
    FULL,
    point("entropy", 0.5, 0.80, 3.0, (0.8, 0.2)),
    point("entropy", 0.8, 0.88, 2.0, (0.6, 0.4)),
    point("entropy", 0.9, 0.89, 1.5, (0.4, 0.6), reported=0.75),
]


def chosen(budget):
    found = budget.choose(POINTS)
    return None if found is None else (found.criterion_name, found.threshold)


def test_each_kind_finds_its_point():
    assert chosen(MaxDrop(1)) == ("entropy", 0.9)
    assert chosen(MinSpeedup(2)) == ("entropy", 0.8)
    assert chosen(MinSpeedup(2.5)) == ("entropy", 0.5)
    assert chosen(MinSpeedup(4.5, speed="flops_speedup")) == ("entropy", 0.5)
    assert chosen(MinSpeedup(1)) == ("static", 2)
    assert chosen(MinSpeedup(7)) is None
    undefined = [FULL, point("entropy", 0.9, math.nan, 3.0)]
    assert MinSpeedup(2).choose(undefined) is None


def test_a_latency_is_the_mean_of_the_exits_times(tmp_path):
    table = tmp_path / "latency.csv"
    table.write_text("exit_layer,mode,milliseconds\n6,latency,10\n1,latency,2\n1,batch,1\n")
    assert chosen(MaxLatency(5.2, str(table))) == ("entropy", 0.8)  # 0.6 * 2 + 0.4 * 10
    assert chosen(MaxLatency(5.1, str(table))) == ("entropy", 0.5)
    assert chosen(MaxLatency(1, str(table))) is None
    table.write_text("exit_layer,milliseconds\n6,10\n")
    with pytest.raises(UserError, match=r"expected times of 2 exits in .*latency\.csv; found 1"):
        chosen(MaxLatency(5, str(table)))


MEASURED = "exit_layer,milliseconds,static_milliseconds,plain_milliseconds\n1,3,2,8\n6,10,7,8\n"


def test_static_exits_have_times_of_their_own(tmp_path):
    table = tmp_path / "exit_latency.csv"
    table.write_text(MEASURED)
    # Full depth as a static exit takes 7 ms; entropy at 0.9 leaves at 0.4 * 3 + 0.6 * 10 = 7.2 ms: slower, though
    # faster by layers.
    assert chosen(MaxDrop(1)) == ("entropy", 0.9)
    assert chosen(MaxDrop(1, table=str(table))) == ("static", 2)
    assert chosen(MaxDrop(2, table=str(table))) == ("entropy", 0.8)  # 0.6 * 3 + 0.4 * 10 = 5.8
    assert chosen(MaxLatency(7, str(table))) == ("static", 2)
    assert chosen(MinMeasuredSpeedup(8 / 7, str(table))) == ("static", 2)
    assert chosen(MinMeasuredSpeedup(1.2, str(table))) == ("entropy", 0.8)
    assert chosen(MinMeasuredSpeedup(4, str(table))) == ("static", 1)
    assert chosen(MinMeasuredSpeedup(5, str(table))) is None
    assert LatencyTable.read(str(table)).milliseconds(FULL) == 7
    names = [MaxDrop(1, table=str(table)).name, MinMeasuredSpeedup(2, str(table)).name]
    assert names == ["drop1_measured", "measured2"]


def test_a_measured_speedup_needs_the_plain_models_time(tmp_path):
    table = tmp_path / "exit_latency.csv"
    table.write_text("exit_layer,milliseconds\n1,2\n6,10\n")
    with pytest.raises(UserError, match=r"plain_milliseconds in .*; found a table of an earlier version"):
        MinMeasuredSpeedup(2, str(table))
    with pytest.raises(UserError, match="a positive measured speed-up; found 0"):
        MinMeasuredSpeedup(0, str(table))
    table.write_text("exit_layer,milliseconds\n1,-2\n")
    with pytest.raises(UserError, match=r"positive times in .*; found -2"):
        MaxLatency(2, str(table))
    table.write_text("exit_layer,milliseconds\n")
    with pytest.raises(UserError, match=r"positive times in .*; found no rows"):
        MaxLatency(2, str(table))


BUDGETS = [MaxDrop(0), MaxDrop(1), MaxDrop(5), MinSpeedup(1.5), MinSpeedup(2), MinSpeedup(2, "flops_speedup")]


def unrounded(quality, speed, flops):
    return operating_point(
        "entropy", quality_selection=quality, layer_speedup_selection=speed, flops_speedup_selection=flops
    )


@settings(max_examples=200)
@given(st.lists(st.tuples(*[st.sampled_from([0.5, 0.8, 0.89, 0.9, 1.0, 2.0, 2.5])] * 3), max_size=12))
def test_a_chosen_point_is_on_the_front_of_the_selection_split(triples):
    points = [FULL, *(unrounded(*one) for one in triples)]
    for budget in BUDGETS:
        point = budget.choose(points)
        if point is None:
            continue
        mine = point.quality_selection, point.layer_speedup_selection, point.flops_speedup_selection
        for rival in points:
            theirs = rival.quality_selection, rival.layer_speedup_selection, rival.flops_speedup_selection
            dominates = all(b >= a for a, b in zip(mine, theirs, strict=True)) and mine != theirs
            assert not dominates, (budget.name, mine, theirs)


@pytest.mark.parametrize("content", [None, "layer,ms\n1,2\n", "exit_layer,milliseconds\n1,fast\n"])
def test_a_latency_table_that_cannot_be_read_is_said(tmp_path, content):
    table = tmp_path / "latency.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(UserError, match=r"columns exit_layer and milliseconds in .*latency\.csv"):
        MaxLatency(5, str(table))


def test_names():
    assert [MaxDrop(0.5).name, MinSpeedup(2).name, MinSpeedup(2, "flops_speedup").name] == [
        "drop0.5",
        "speed2",
        "flops2",
    ]
    assert MaxDrop(1, name="serve").name == "serve"
    found = recommend(POINTS, [1, MinSpeedup(7), MinSpeedup(2, name="fast")])
    assert list(found) == ["drop1", "fast"]  # what no point keeps is left out
    with pytest.raises(UserError, match="budgets with different names; found drop1, drop1"):
        recommend(POINTS, [1, MaxDrop(1)])


@pytest.mark.parametrize("times", [0.5, math.nan, math.inf])
def test_a_speedup_is_at_least_1(times):
    with pytest.raises(UserError, match="a speed-up of 1 or more"):
        MinSpeedup(times)


@pytest.mark.parametrize("milliseconds", [0, -1, math.nan])
def test_a_latency_is_positive(milliseconds):
    with pytest.raises(UserError, match="a positive number of milliseconds"):
        MaxLatency(milliseconds, "latency.csv")


def test_cross_fitting_averages_what_both_turns_report():
    turned = [
        point("static", 1, 0.5, 6.0),
        point("static", 2, 0.9, 1.0, reported=0.9),
        point("patience", 3, 0.895, 2.0, reported=0.87),
    ]
    found = cross_fit(POINTS, turned, [1, MinSpeedup(7)])
    assert list(found) == ["drop1"]
    assert found["drop1"].quality == pytest.approx((0.75 + 0.87) / 2)
    assert found["drop1"].drop_points == pytest.approx((5 + 3) / 2)
    assert found["drop1"].selected == (("entropy", 0.9), ("patience", 3))
    assert (found["drop1"].layer_speedup, found["drop1"].flops_speedup) == (2.0, 3.0)


def test_a_front_on_the_selection_split_does_not_look_at_the_other():
    front = pareto_front([*POINTS, point("entropy", 0.1, 0.7, 2.5, reported=1.0)], selection=True)
    assert [(one.criterion_name, one.threshold) for one in front] == [
        ("static", 2), ("entropy", 0.9), ("entropy", 0.8), ("entropy", 0.5), ("static", 1)
    ]  # fmt: skip


class At:
    def __init__(self, flops_speedup, quality):
        self.flops_speedup, self.quality = flops_speedup, quality


def test_the_score_is_the_mean_lead_at_the_same_flops():
    reference = [At(1.0, 0.9), At(2.0, 0.7)]
    # At 4/3 the FLOPs are half way: 0.8. Beyond the fastest the reference is held flat. Repetitions count once.
    points = [At(4 / 3, 0.85), At(4 / 3, 0.85), At(4.0, 0.6)]
    assert elue_score(points, reference) == pytest.approx((5 - 10) / 2)
    assert elue_score(reference, reference) == pytest.approx(0.0)
    for missing in ((points, []), ([], reference)):
        with pytest.raises(UserError, match="points and a reference curve to score"):
            elue_score(*missing)
