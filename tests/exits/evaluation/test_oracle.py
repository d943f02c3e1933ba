"""The oracle's curve: by hand, against the best of all assignments, and above every criterion."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acl_lightning.errors import UserError
from acl_lightning.exits import Confidence, Entropy, ExitCosts, Patience, oracle_curve, oracle_exits, sweep
from acl_lightning.exits.evaluation.intervals.bootstrap import interpolated
from acl_lightning.outputs import predictions

COSTS = ExitCosts((1, 2, 3), depth=3, flops_E=(12.0, 22.0, 30.0), full_flops=28.0)
GRID = torch.linspace(1, 3, 41, dtype=torch.float64)


def accuracy(predictions_n, labels_n):
    return (predictions_n == labels_n).double().mean().item()


def test_by_hand():
    labels_B = torch.tensor([1, 1, 1, 1])
    predictions_EB = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0]])
    assert oracle_exits(predictions_EB, labels_B).tolist() == [0, 1, 2, 0]
    points = oracle_curve(predictions_EB, labels_B, quality=accuracy, costs=COSTS)
    assert [(one.deepest, one.quality, one.mean_exit_layer) for one in points] == [
        (1, 0.25, 1.0),
        (2, 0.5, 1.25),
        (3, 0.75, 1.75),
    ]
    assert points[2].layer_speedup == pytest.approx(3 / 1.75)
    assert points[2].flops_speedup == pytest.approx(28 / ((12 + 22 + 30 + 12) / 4))


def test_a_value_is_never_exactly_right():
    with pytest.raises(UserError, match="expected classes for an oracle; found a regression"):
        oracle_curve(torch.zeros(3, 2), torch.zeros(2), quality=accuracy, costs=COSTS)


def curve_at(costs, qualities):
    return interpolated(torch.tensor(costs, dtype=torch.float64), torch.tensor(qualities, dtype=torch.float64), GRID)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 4))
def test_no_criterion_is_above_it_at_the_same_mean_layer(seed, classes):
    generator = torch.Generator().manual_seed(seed)
    logits_EBC = 2 * torch.randn(3, 24, classes, generator=generator)
    labels_B = torch.randint(classes, (24,), generator=generator)
    selection_B = torch.arange(24) % 2 == 0
    report_B = ~selection_B
    points = sweep(
        logits_EBC, labels_B, [Confidence(), Entropy(), Patience()],
        quality=accuracy, selection_B=selection_B, costs=COSTS,
    )  # fmt: skip
    oracle = oracle_curve(predictions(logits_EBC)[:, report_B], labels_B[report_B], quality=accuracy, costs=COSTS)
    above = curve_at([one.mean_exit_layer for one in oracle], [one.quality for one in oracle])
    for name in ("confidence", "entropy", "patience", "static"):
        mine = [one for one in points if one.criterion_name == name]
        below = curve_at([one.mean_exit_layer for one in mine], [one.quality for one in mine])
        slowest = min(one.mean_exit_layer for one in mine)
        reached = slowest - 1e-9 <= GRID
        assert (above[reached] >= below[reached] - 1e-9).all(), name


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_no_assignment_of_exits_is_above_it(right):
    right_EB = torch.tensor(right).T
    labels_B = torch.ones(right_EB.shape[1], dtype=torch.long)
    oracle = oracle_curve(right_EB.long(), labels_B, quality=accuracy, costs=COSTS)
    costs, values = ([getattr(one, name) for one in oracle] for name in ("mean_exit_layer", "quality"))
    for exits in itertools.product(range(3), repeat=len(labels_B)):
        cost = sum(COSTS.layers_E[e] for e in exits) / len(labels_B)
        value = sum(bool(right_EB[e, b]) for b, e in enumerate(exits)) / len(labels_B)
        at = torch.tensor([cost], dtype=torch.float64)
        exact = (torch.tensor(column, dtype=torch.float64) for column in (costs, values))
        bound = interpolated(*exact, at).item()
        assert value <= bound + 1e-9
