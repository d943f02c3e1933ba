"""Resampled metrics and intervals against loops over the same draws, and their coverage of a known truth."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acl_lightning.errors import UserError
from acl_lightning.exits import ExitCosts, bootstrap
from acl_lightning.exits.evaluation.intervals.bootstrap import (
    Resampled,
    band,
    draw_indices,
    interpolated,
    interval_bounds,
)
from acl_lightning.exits.evaluation.intervals.resampled_quality import RESAMPLED, resampled_quality
from acl_lightning.metrics import METRICS, REGRESSION_METRICS, quality

COSTS = ExitCosts((1, 2, 4), depth=4, flops_E=(10.0, 22.0, 40.0), full_flops=38.0)


def counted(indices_RB: torch.Tensor) -> torch.Tensor:
    return torch.stack([row.bincount(minlength=indices_RB.shape[1]).double() for row in indices_RB])


def drawn(metric: str, seed: int, samples: int = 30, points: int = 3):
    generator = torch.Generator().manual_seed(seed)
    if metric in {"pearson", "spearman"}:
        labels_B = 5 * torch.rand(samples, generator=generator)
        predictions_PB = (labels_B + torch.randn(points, samples, generator=generator)).round(decimals=1)
        return predictions_PB, labels_B
    classes = 3 if metric == "matthews" else 2
    labels_B = torch.randint(classes, (samples,), generator=generator)
    predictions_PB = torch.randint(classes, (points, samples), generator=generator)
    return torch.where(torch.rand(points, samples, generator=generator) < 0.6, labels_B, predictions_PB), labels_B


def test_there_is_a_resampled_form_of_every_metric():
    assert set(RESAMPLED) == set(METRICS)
    with pytest.raises(UserError, match=r"expected a metric among accuracy, f1, .*; found rouge"):
        resampled_quality("rouge")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_resample_is_the_metric_of_the_samples_it_drew(metric, seed):
    predictions_PB, labels_B = drawn(metric, seed)
    indices_RB = draw_indices(len(labels_B), 5, seed)
    found_RP = RESAMPLED[metric](predictions_PB, labels_B, counted(indices_RB))
    for indices_B, found_P in zip(indices_RB, found_RP.tolist(), strict=True):
        expected_P = [quality(metric, row_B[indices_B], labels_B[indices_B]) for row_B in predictions_PB]
        assert found_P == pytest.approx(expected_P, abs=2e-6)  # rounded to six digits


@pytest.mark.parametrize("metric", METRICS)
def test_constant_answers_are_worth_nothing_or_their_share(metric):
    labels_B = torch.tensor([0.5, 2, 2, 1e6] if metric in REGRESSION_METRICS else [0, 1, 1, 0])
    answers_PB = labels_B.mean().expand(1, 4) if metric == "r2" else torch.zeros(1, 4, dtype=labels_B.dtype)
    once = torch.ones(1, 4, dtype=torch.float64)
    share = {"accuracy": 0.5, "balanced_accuracy": 0.5, "macro_f1": 1 / 3}.get(metric, 0.0)
    assert RESAMPLED[metric](answers_PB, labels_B, once).item() == pytest.approx(share, abs=1e-6)


def example(seed: int, samples: int = 50, points: int = 4):
    generator = torch.Generator().manual_seed(seed)
    labels_B = torch.randint(2, (samples,), generator=generator)
    predictions_EB = torch.randint(2, (3, samples), generator=generator)
    exits_PB = torch.randint(3, (points, samples), generator=generator)
    return exits_PB, predictions_EB, labels_B


def test_the_bootstrap_is_a_loop_over_resamples_that_measures_everything_on_the_same_samples(monkeypatch):
    monkeypatch.setattr(sys.modules[bootstrap.__module__], "CHUNK", 8 * 50 * 3)  # three resamples a piece
    exits_PB, predictions_EB, labels_B = example(0)
    resampled = bootstrap(exits_PB, predictions_EB, labels_B, metric="accuracy", costs=COSTS, resamples=20, seed=7)
    losses = [[] for _ in exits_PB]
    for number, indices_B in enumerate(draw_indices(50, 20, seed=7).tolist()):
        full = sum(int(predictions_EB[2, i] == labels_B[i]) for i in indices_B) / 50
        assert resampled.full_quality_R1[number].item() == pytest.approx(full)
        for point, exits_B in enumerate(exits_PB.tolist()):
            value = sum(int(predictions_EB[exits_B[i], i] == labels_B[i]) for i in indices_B) / 50
            layers = sum(COSTS.layers_E[exits_B[i]] for i in indices_B) / 50
            flops = sum(COSTS.flops_E[exits_B[i]] for i in indices_B) / 50
            assert resampled.quality_RP[number, point].item() == pytest.approx(value)
            assert resampled.layer_speedup_RP[number, point].item() == pytest.approx(4 / layers)
            assert resampled.flops_speedup_RP[number, point].item() == pytest.approx(38 / flops)
            losses[point].append(100 * (full - value))
    for one, found in zip(losses, resampled.intervals(), strict=True):
        low, high = np.quantile(one, [0.025, 0.975])
        assert (found.drop_points.low, found.drop_points.high) == (pytest.approx(low), pytest.approx(high))


def test_static_exits_have_flops_of_their_own():
    costs = replace(COSTS, static_flops_E=(10.0, 20.0, 38.0))
    exits_PB = torch.full((2, 50), 2)
    _, predictions_EB, labels_B = example(0)
    measured = {"metric": "accuracy", "costs": costs, "resamples": 3}
    resampled = bootstrap(exits_PB, predictions_EB, labels_B, static_P=[True, False], **measured)
    assert resampled.flops_speedup_RP.tolist() == [pytest.approx([1.0, 38 / 40])] * 3


def test_the_same_seed_draws_the_same_and_another_seed_others():
    assert torch.equal(draw_indices(40, 3, 5), draw_indices(40, 3, 5))
    assert not torch.equal(draw_indices(40, 3, 5), draw_indices(40, 3, 6))


def test_a_point_that_is_full_depth_loses_nothing_for_certain():
    _, predictions_EB, labels_B = example(1)
    (found,) = bootstrap(
        torch.full((1, 50), 2), predictions_EB, labels_B, metric="accuracy", costs=COSTS, resamples=100
    ).intervals()
    assert (found.drop_points.low, found.drop_points.high) == (0.0, 0.0)  # paired; unpaired would be wide
    assert found.quality.low < found.quality.high
    assert (found.layer_speedup.low, found.layer_speedup.high) == (1.0, 1.0)


def test_intervals_of_95_percent_cover_a_known_accuracy_in_about_95_of_100_experiments():
    generator = torch.Generator().manual_seed(0)
    experiments, samples, truth = 300, 200, 0.8
    covered = 0
    for number in range(experiments):
        right_B = (torch.rand(samples, generator=generator) < truth).long()
        interval = bootstrap(
            torch.zeros(1, samples, dtype=torch.long), right_B.expand(3, samples), torch.ones(samples).long(),
            metric="accuracy", costs=COSTS, resamples=200, seed=number,
        ).intervals()[0].quality  # fmt: skip
        covered += interval.low <= truth <= interval.high
    # A binomial of 300 with 0.94 (a percentile interval of 200 samples is a little narrow): +- 3 standard deviations.
    assert 0.90 <= covered / experiments <= 0.98


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 10)), min_size=1, max_size=6))
def test_interpolation_is_numpys_over_distinct_costs(pairs):
    groups: dict[int, list[int]] = {}
    for cost, value in pairs:
        groups.setdefault(cost, []).append(value)
    at = np.linspace(0, 9, 19)
    expected = np.interp(at, sorted(groups), [np.mean(groups[cost]) for cost in sorted(groups)])
    costs, values = (torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True))
    np.testing.assert_allclose(interpolated(costs, values, torch.from_numpy(at)).numpy(), expected)


def test_a_band_is_the_percentiles_of_the_curves_at_each_speed():
    quality_RP = torch.tensor([[0.5, 0.9], [0.6, 0.8]], dtype=torch.float64)
    speeds_RP = torch.tensor([[2.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
    resampled = Resampled(quality_RP, quality_RP[:, -1:], speeds_RP, 2 * speeds_RP)
    slow, middle = band(resampled, [1.0, 4 / 3])
    # At 4/3 the cost is half way between the two points: 0.7 in both resamples.
    assert (middle.low, middle.high) == (pytest.approx(0.7), pytest.approx(0.7))
    assert (slow.low, slow.high) == (pytest.approx(0.8 + 0.025 * 0.1), pytest.approx(0.9 - 0.025 * 0.1))
    (fast,) = band(resampled, [2.0], speed="flops_speedup")
    assert fast == slow


def test_bounds_are_percentiles():
    values = torch.arange(1001, dtype=torch.float64)[:, None]
    assert interval_bounds(values) == [(25.0, 975.0)]
