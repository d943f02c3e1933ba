"""Drops with a confidence: the p-value, the order of the tests, and the guarantee on generated splits."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from operating_points import operating_point
from test_report import record

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Confidence,
    Entropy,
    LearntEnsemble,
    MaxDrop,
    Patience,
    SweepReport,
    UniformEnsemble,
    certified,
    drop_p_value,
    evaluate,
    recommend,
    sweep,
)
from acl_lightning.exits.evaluation.budgets.risk_control import BETS, rows_needed
from acl_lightning.metrics import quality
from acl_lightning.tables import point_notes


def p_value_oracle(drops, bound):
    """Markov's inequality on the mean wealth, sample by sample."""
    wealth = 0.0
    for share in BETS:
        product = share / sum(BETS)
        for drop in drops:
            product *= 1 + share / (1 - bound) * (bound - drop)
        wealth += product
    return min(1.0, 1 / wealth) if wealth > 0 else 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(1, 300), st.floats(0.0, 0.5))
def test_the_p_value_is_that_of_the_formula(lost, gained, unchanged, bound):
    drops = [1] * lost + [-1] * gained + [0] * unchanged
    assert drop_p_value(lost, gained, len(drops), bound) == pytest.approx(p_value_oracle(drops, bound), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(41, 3000), st.floats(0.001, 0.3))
def test_more_losses_and_smaller_budgets_are_never_more_certain(lost, gained, samples, bound):
    p = drop_p_value(lost, gained, samples, bound)
    assert 0 <= p <= 1
    assert drop_p_value(lost + 1, gained, samples, bound) >= p
    assert drop_p_value(lost, gained + 1, samples, bound) <= p
    assert drop_p_value(lost, gained, samples, bound / 2) >= p
    assert drop_p_value(lost, gained, samples, 1.0) == 0.0


@pytest.mark.parametrize("level", [0.01, 0.1, 0.3])
@pytest.mark.parametrize(("bound", "gain_rate"), [(0.05, 0.0), (0.05, 0.1), (0.2, 0.3), (0.0, 0.1)])
def test_a_true_hypothesis_is_rejected_no_more_often_than_the_level(bound, gain_rate, level):
    """Exactly, by enumeration of all outcomes of 60 samples whose mean drop equals the bound."""
    samples, lost_rate = 60, bound + gain_rate
    rejected = 0.0
    for lost in range(samples + 1):
        for gained in range(samples + 1 - lost):
            if drop_p_value(lost, gained, samples, bound) <= level:
                unchanged = samples - lost - gained
                ways = math.comb(samples, lost) * math.comb(samples - lost, gained)
                rest = 1 - lost_rate - gain_rate
                rejected += ways * lost_rate**lost * gain_rate**gained * rest**unchanged
    assert rejected <= level


def changed(criterion, threshold, lost, gained, samples=1000, speed=1.5):
    """A point with these changes of answers on the selection split, whose full depth is right on 90 %."""
    return operating_point(
        criterion,
        threshold,
        quality_selection=0.9 - (lost - gained) / samples,
        layer_speedup_selection=speed,
        lost_selection=lost,
        gained_selection=gained,
        num_selection=samples,
    )


FULL = changed("static", 3.0, 0, 0, speed=1.0)


def test_thresholds_are_tested_from_the_highest_until_the_first_failure():
    chain = [
        changed("entropy", 0.2, 0, 0, speed=3.0),  # would pass, but lies behind a failure
        changed("entropy", 0.4, 30, 0, speed=2.0),
        changed("entropy", 0.6, 2, 0, speed=1.4),
        changed("entropy", 0.8, 0, 0, speed=1.2),
    ]
    assert certified([FULL, *chain], 0.02, 0.95) == [FULL, *chain[:1:-1]]
    assert MaxDrop(2, confidence=0.95).choose([FULL, *chain]) is chain[2]
    assert MaxDrop(2).choose([FULL, *chain]) is chain[0]


def test_the_error_is_divided_among_criteria_and_variants():
    one = changed("entropy", 0.5, 0, 0, samples=450)
    assert certified([FULL, one], 0.01, 0.95) == [FULL, one]
    assert certified([FULL, one, changed("confidence", 0.5, 50, 0)], 0.01, 0.95) == [FULL]
    static = changed("static", 2.0, 50, 0)  # not tested beside a criterion
    assert certified([static, FULL, one], 0.01, 0.95) == [FULL, one]
    assert certified([changed("static", 2.0, 0, 0), FULL], 0.01, 0.95)[1].threshold == 2.0
    variants = [changed(Patience(delta), 1.0, 0, 0, samples=500) for delta in (0.1, 0.2, 0.3)]
    assert certified([FULL, *variants[:1]], 0.01, 0.95) == [FULL, variants[0]]
    assert certified([FULL, *variants], 0.01, 0.95) == [FULL]


def test_the_rows_that_are_needed_suffice():
    few = [FULL, changed("entropy", 0.9, 0, 0, samples=100), changed("entropy", 0.5, 1, 0, samples=100)]
    rows = rows_needed(few, 0.01, 0.95)
    assert rows == 390
    for samples, passes in ((rows, True), (rows - 1, False)):
        more = [FULL, changed("entropy", 0.9, 0, 0, samples=samples)]
        assert (len(certified(more, 0.01, 0.95)) == 2) == passes
    assert rows_needed([FULL, changed("entropy", 0.9, 2, 0, samples=100)], 0.01, 0.95) is None
    assert rows_needed([FULL, changed("entropy", 0.9, 0, 0)], 0.0, 0.95) is None  # no number shows a drop of 0
    assert MaxDrop(1).rows_needed(few) is None


#: True accuracy of the two exits, and how often they disagree, at each of ten grades of certainty.
GRADES = torch.linspace(0.05, 0.95, 10)


def generated(samples, generator):
    """Two exits: the less certain the first, the more often only the second is right."""
    grade_B = torch.randint(10, (samples,), generator=generator)
    draw_B = torch.rand(samples, generator=generator)
    lost_B, gained_B = draw_B < 0.12 * (1 - GRADES[grade_B]), draw_B > 1 - 0.02
    labels_B = torch.zeros(samples, dtype=torch.long)
    first_B, last_B = lost_B.long(), gained_B.long()
    certain_B = 1 + GRADES[grade_B] * 3
    signs = 1 - 2 * torch.stack([first_B, last_B])
    logits_EB = certain_B * signs
    return torch.stack([logits_EB, -logits_EB], dim=-1), labels_B


def true_drop(threshold):
    """Drop of leaving at the first exit where its confidence reaches the threshold, over all samples."""
    certainty = Confidence().certainty(torch.stack([1 + GRADES * 3, -1 - GRADES * 3], dim=-1)[None])[0]
    leaving = certainty >= threshold
    return float(((0.12 * (1 - GRADES) - 0.02) * leaving).mean())


def test_the_drop_exceeds_the_budget_no_more_often_than_promised():
    """1000 generated selection splits of 600 samples; the true drop of a threshold is known."""
    generator = torch.Generator().manual_seed(0)
    grid = sorted(
        Confidence().certainty(torch.stack([1 + GRADES * 3, -1 - GRADES * 3], dim=-1)[None])[0].double().tolist()
    )
    budget, confidence = 0.02, 0.9
    assert true_drop(grid[0]) > budget + 0.01  # too fast
    assert true_drop(grid[-1]) < budget - 0.01
    exceeded = faster = plain_exceeded = 0
    for _ in range(1000):
        logits_EBC, labels_B = generated(600, generator)
        right_EB = logits_EBC.argmax(dim=-1) == labels_B
        certainty_B = Confidence().certainty(logits_EBC)[0]
        points = [changed("static", 2.0, 0, 0, samples=600, speed=1.0)]
        for threshold in grid:
            leaving_B = certainty_B >= torch.tensor(threshold).float()
            lost = int((leaving_B & right_EB[1] & ~right_EB[0]).sum())
            gained = int((leaving_B & right_EB[0] & ~right_EB[1]).sum())
            speed = 2 / (2 - float(leaving_B.double().mean()))
            points.append(changed("confidence", threshold, lost, gained, samples=600, speed=speed))
        point = MaxDrop(100 * budget, confidence=confidence).choose(points)
        faster += not point.is_static
        exceeded += not point.is_static and true_drop(point.threshold) > budget
        plain = MaxDrop(100 * budget).choose(points)
        plain_exceeded += not plain.is_static and true_drop(plain.threshold) > budget
    assert exceeded <= 100  # 10 % of 1000
    assert faster > 500  # not by always refusing
    assert plain_exceeded > 250  # without a confidence the budget is missed often


def test_a_sweep_counts_the_changed_answers():
    content = record()
    points = sweep(
        content.logits_EBC,
        content.labels_B,
        [Confidence()],
        quality=partial(quality, "accuracy"),
        selection_B=content.selection_B,
        costs=content.costs,
        thresholds={"confidence": [0.4, 0.7, 0.9]},
    )
    selection = content.split(selection=True)
    right_EB = selection.logits_EBC.argmax(dim=-1) == selection.labels_B
    for point in points:
        exits_B = selection.leaving(point.criterion, point.threshold)
        right_B = right_EB.gather(0, exits_B[None])[0]
        assert point.lost_selection == int((right_EB[-1] & ~right_B).sum())
        assert point.gained_selection == int((~right_EB[-1] & right_B).sum())
        assert point.num_selection == 60
    assert recommend(points, [MaxDrop(1, confidence=0.9)]) == {"drop1_90": points[2]}


def test_a_report_says_that_rows_are_missing_and_how_many():
    report = evaluate(record(), [Entropy()], [MaxDrop(1), MaxDrop(1, confidence=0.95), MaxDrop(60, confidence=0.9)])
    assert list(report.recommended) == ["drop1", "drop1_95", "drop60_90"]
    point = report.recommended["drop1_95"]
    assert (point.criterion_name, point.confidence, point.rows_needed) == ("static", 0.95, 390)
    assert report.recommended["drop1"].confidence is None
    assert SweepReport.from_json(report.to_json()) == report
    notes = " ".join(str(note) for note in point_notes(report))
    assert "drop1_95: 60 selection rows certify no faster point with 95 % confidence; about 390 are needed." in notes
    assert "drop60_90: 60 selection rows certify its drop with 90 % confidence" in notes
    hopeless = evaluate(record(), [Entropy()], [MaxDrop(0, confidence=0.9)])
    assert "drop0_90: no faster point can be certified with 90 % confidence" in str(point_notes(hopeless)[-1])


def test_what_has_no_guarantee_is_refused_in_one_line():
    budget = MaxDrop(1, confidence=0.95)
    assert (budget.name, budget.text) == ("drop1_95", "drop of at most 1 points with 95 % confidence")
    for metric in ("matthews", "f1"):
        with pytest.raises(
            UserError, match=f"accuracy, a mean over samples, .*; found {metric}. Leave the confidence out"
        ):
            evaluate(record(), [Entropy()], [budget], metric)
    with pytest.raises(UserError, match=r"accuracy, a mean over samples, .*; found the points of a regression"):
        budget.choose([operating_point("static", 1.0), operating_point("patience", 1.0)])
    with pytest.raises(UserError, match=r"accuracy, .*; found a metric whose drop is not that of the accuracy"):
        budget.choose([FULL, operating_point("entropy", lost_selection=0, gained_selection=0, num_selection=9)])
    with pytest.raises(UserError, match="selection rows on which nothing is fitted, for drop1_95; found temperatures"):
        evaluate(record(), [Entropy()], [budget], calibrate=True)
    with pytest.raises(UserError, match="found ensemble weights fitted on them"):
        evaluate(record(), [Entropy()], [budget], ensemble=LearntEnsemble())
    evaluate(record(), [Entropy()], [budget], thresholds={"entropy": [0.5]}, ensemble=UniformEnsemble())
    for confidence in (0.0, 1.0, 95, math.nan):
        with pytest.raises(UserError, match=f"a confidence between 0 and 1; found {confidence}"):
            MaxDrop(1, confidence=confidence)
