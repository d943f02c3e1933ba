"""The vectorised sweep against a loop over samples, its extremes, its cost and its demands."""

from __future__ import annotations

import itertools
import sys
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    FPABEE,
    PCEE,
    Confidence,
    Entropy,
    ExitCosts,
    LearntGate,
    Margin,
    Patience,
    Static,
    exit_index,
    sweep,
)
from acl_lightning.exits.criteria.consecutive import patience
from acl_lightning.outputs import predictions

CRITERIA = [Confidence(), Entropy(), Margin(), Patience(), PCEE(), FPABEE()]
VARIANTS = [variant for criterion in CRITERIA for variant in criterion.variants(num_classes=3)]


def accuracy(predictions_n: Tensor, labels_n: Tensor) -> float:
    return (predictions_n == labels_n).double().mean().item()


def float32(value: float) -> float:
    """Thresholds are compared in the precision of the certainties."""
    return torch.tensor(value, dtype=torch.float32).item()


def costs_of(num_exits: int) -> ExitCosts:
    """Exits at every second layer of an encoder one layer deeper than the last; heads cost half a layer."""
    layers = tuple(2 * number for number in range(1, num_exits + 1))
    flops = tuple(layer + 0.5 * number for number, layer in enumerate(layers, start=1))
    return ExitCosts(layers, depth=layers[-1] + 1, flops_E=flops, full_flops=layers[-1] + 1.5)


def data(seed: int, num_exits: int = 4, batch: int = 24, classes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits_EBC = 3 * torch.randn(num_exits, batch, classes, generator=generator)
    labels_B = torch.randint(classes, (batch,), generator=generator)
    selection_B = torch.arange(batch) % 3 == 0
    return logits_EBC, labels_B, selection_B


@settings(max_examples=8, deadline=None)  # a loop by intent
@given(st.integers(0, 2**16), st.integers(1, 5))
def test_sweep_equals_a_loop_over_thresholds_and_samples(seed, num_exits):
    logits_EBC, labels_B, selection_B = data(seed, num_exits)
    costs = costs_of(num_exits)
    points = sweep(logits_EBC, labels_B, CRITERIA, quality=accuracy, selection_B=selection_B, costs=costs)
    hits_EB = (logits_EBC.argmax(dim=-1) == labels_B).tolist()
    certainties = {one: one.certainty(logits_EBC).tolist() for one in (Static(), *VARIANTS)}
    selection = selection_B.tolist()
    expected = [(one, threshold) for one in certainties for threshold in one.thresholds(num_exits)]
    assert [(point.criterion_name, point.threshold, point.settings) for point in points] == [
        (one.name, threshold, one.settings) for one, threshold in expected
    ]
    for point, (criterion, threshold) in zip(points, expected, strict=True):
        certainty_EB = certainties[criterion]
        assert type(point.criterion) is type(criterion)
        splits = {True: [], False: []}
        for sample in range(len(labels_B)):
            reached = [e for e in range(num_exits) if certainty_EB[e][sample] >= float32(threshold)]
            exit_ = reached[0] if reached else num_exits - 1
            splits[selection[sample]].append((exit_, hits_EB[exit_][sample]))
        report = splits[False]
        layers = sum(costs.layers_E[e] for e, _ in report) / len(report)
        flops = sum(costs.flops_E[e] for e, _ in report) / len(report)
        selection_layers = sum(costs.layers_E[e] for e, _ in splits[True]) / len(splits[True])
        assert point.quality == pytest.approx(sum(hit for _, hit in report) / len(report))
        assert point.quality_selection == pytest.approx(sum(hit for _, hit in splits[True]) / len(splits[True]))
        assert point.mean_exit_layer == pytest.approx(layers)
        assert point.layer_speedup == pytest.approx(costs.depth / layers)
        assert point.layer_saving == pytest.approx(1 - layers / costs.depth)
        assert point.flops_speedup == pytest.approx(costs.full_flops / flops)
        assert point.layer_speedup_selection == pytest.approx(costs.depth / selection_layers)
        selection_flops = sum(costs.flops_E[e] for e, _ in splits[True]) / len(splits[True])
        assert point.flops_speedup_selection == pytest.approx(costs.full_flops / selection_flops)
        selected = [sum(e == exit_ for e, _ in splits[True]) / len(splits[True]) for exit_ in range(num_exits)]
        assert point.shares_selection_E == pytest.approx(selected)
        shares = [sum(e == exit_ for e, _ in report) / len(report) for exit_ in range(num_exits)]
        assert point.shares_E == pytest.approx(shares)
        assert point.leaves_early == any(e < num_exits - 1 for e, _ in report)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 6))
def test_speed_falls_with_the_threshold_and_shares_sum_to_one(seed, num_exits):
    logits_EBC, labels_B, selection_B = data(seed, num_exits)
    points = sweep(logits_EBC, labels_B, CRITERIA, quality=accuracy, selection_B=selection_B, costs=costs_of(num_exits))
    for point in points:
        assert sum(point.shares_E) == pytest.approx(1.0)
    for before, after in itertools.pairwise(points):
        if (before.criterion_name, before.settings) == (after.criterion_name, after.settings):
            assert after.mean_exit_layer >= before.mean_exit_layer - 1e-12


def test_the_grid_ends_are_the_first_exit_and_full_depth():
    logits_EBC, labels_B, selection_B = data(0)
    points = sweep(logits_EBC, labels_B, CRITERIA, quality=accuracy, selection_B=selection_B, costs=costs_of(4))
    full = points[3]
    for name in ("static", "confidence", "entropy"):
        mine = [point for point in points if point.criterion_name == name]
        assert mine[0].shares_E == (1.0, 0.0, 0.0, 0.0)
        assert mine[-1].shares_E == (0.0, 0.0, 0.0, 1.0)
        assert mine[-1].quality == full.quality
        assert not mine[-1].leaves_early
    assert not points[-1].leaves_early
    assert points[-1].criterion_name == "fpabee"


def test_quality_is_asked_once_for_points_with_the_same_answers():
    logits_EBC, labels_B, selection_B = data(0)
    calls = []

    def counting(predictions_n: Tensor, labels_n: Tensor) -> float:
        calls.append(len(labels_n))
        return 0.0

    criteria = [Confidence(), Entropy(), PCEE()]
    sweep(logits_EBC, labels_B, criteria, quality=counting, selection_B=selection_B, costs=costs_of(4))
    answers = set()
    for split_B in (selection_B, ~selection_B):
        for criterion in [Static(), Confidence(), Entropy(), *PCEE().variants(3)]:
            grid = torch.tensor(criterion.thresholds(4), dtype=torch.float64)
            exits_TB = exit_index(criterion.certainty(logits_EBC[:, split_B]), grid)
            answers |= {tuple(row) for row in predictions(logits_EBC[:, split_B]).gather(0, exits_TB).tolist()}
    assert len(calls) == len(answers)


def test_a_sweep_of_sst2s_size_is_cheap():
    logits_EBC, labels_B, selection_B = data(0, num_exits=6, batch=872, classes=2)
    arguments = {"quality": accuracy, "selection_B": selection_B, "costs": costs_of(6)}
    sweep(logits_EBC, labels_B, CRITERIA, **arguments)
    start = time.process_time()
    sweep(logits_EBC, labels_B, CRITERIA, **arguments)
    assert time.process_time() - start < 0.6  # 0.04 s on one idle core; room for a busy machine


def test_chunks_change_nothing(monkeypatch):
    certainty_EB = torch.rand(5, 40)
    thresholds_T = torch.linspace(0, 1, 33)
    whole = exit_index(certainty_EB, thresholds_T)
    monkeypatch.setattr(sys.modules["acl_lightning.exits.criteria.base"], "CHUNK", 1)
    assert torch.equal(exit_index(certainty_EB, thresholds_T), whole)


def test_a_threshold_is_reached_by_equality_and_never_by_nan():
    certainty_EB = torch.tensor([[0.5, torch.nan], [0.4, torch.nan], [0.9, torch.nan]])
    assert exit_index(certainty_EB, torch.tensor([0.5, 0.6])).tolist() == [[0, 2], [2, 2]]


def test_predictions_of_classes_and_of_values():
    assert predictions(torch.tensor([[[0.1, 0.9]], [[0.8, 0.2]]])).tolist() == [[1], [0]]
    assert predictions(torch.tensor([[2.5], [0.5]])).tolist() == [2.5, 0.5]


def test_a_regression_is_swept_with_patience():
    logits_EBC = torch.tensor([[1.0, 4.0], [1.1, 2.0], [1.1, 2.05]]).unsqueeze(-1)

    def closeness(predictions_n: Tensor, labels_n: Tensor) -> float:
        return -(predictions_n - labels_n).abs().mean().item()

    points = sweep(
        logits_EBC.repeat(1, 2, 1),
        torch.tensor([1.1, 2.0] * 2),
        [Patience(delta=0.2)],
        quality=closeness,
        selection_B=torch.tensor([True, True, False, False]),
        costs=costs_of(3),
    )
    patience1 = next(point for point in points if point.criterion_name == "patience")
    assert patience1.shares_E == (0.0, 0.5, 0.5)
    assert patience1.quality == pytest.approx(-0.025)


def test_a_regression_tries_every_delta_that_was_left_open():
    logits_EBC = torch.randn(3, 20, 1, generator=torch.Generator().manual_seed(0))
    points = sweep(
        logits_EBC,
        logits_EBC[-1, :, 0],
        [Patience()],
        quality=accuracy,
        selection_B=torch.arange(20) % 2 == 0,
        costs=costs_of(3),
    )
    family = [point for point in points if point.criterion_name == "patience"]
    assert [(point.settings["delta"], point.threshold) for point in family] == [
        (delta, threshold) for delta in patience.DELTAS for threshold in (1.0, 2.0)
    ]
    assert family[0].settings_text == "delta=0.05"
    speeds = [point.layer_speedup for point in family if point.threshold == 1]
    assert speeds == sorted(speeds)  # a larger delta agrees more often
    assert speeds[0] < speeds[-1]


def test_grids_can_be_given_for_swept_criteria():
    logits_EBC, labels_B, selection_B = data(0)
    arguments = {"quality": accuracy, "selection_B": selection_B, "costs": costs_of(4)}
    points = sweep(logits_EBC, labels_B, [Margin()], thresholds={"margin": [0.1, 0.6]}, **arguments)
    assert [(point.criterion_name, point.threshold) for point in points[4:]] == [("margin", 0.1), ("margin", 0.6)]
    for name in ("entropy", "static"):
        with pytest.raises(UserError, match=f"thresholds of criteria that are swept: margin; found '{name}'"):
            sweep(logits_EBC, labels_B, [Margin()], thresholds={name: [1.0]}, **arguments)


def test_the_learnt_gate_is_swept_by_its_own_logits():
    logits_EBC, labels_B, selection_B = data(0)
    gates_EB = torch.randn(4, 24, generator=torch.Generator().manual_seed(1))
    arguments = {"quality": accuracy, "selection_B": selection_B, "costs": costs_of(4)}
    points = sweep(
        logits_EBC, labels_B, [LearntGate()], gates_EB=gates_EB, thresholds={"learnt_gate": [0.5]}, **arguments
    )
    first_B = ((gates_EB >= 0) | (torch.arange(4) == 3)[:, None]).int().argmax(dim=0)[~selection_B]
    assert points[-1].shares_E == pytest.approx([(first_B == exit_).double().mean().item() for exit_ in range(4)])


@pytest.mark.parametrize(("fill", "split"), [(True, "report"), (False, "selection")])
def test_an_empty_split_is_named(fill, split):
    logits_EBC, labels_B, selection_B = data(0)
    with pytest.raises(UserError, match=f"expected samples in the {split} split .*; found none among 24"):
        sweep(
            logits_EBC,
            labels_B,
            CRITERIA,
            quality=accuracy,
            selection_B=torch.full_like(selection_B, fill),
            costs=costs_of(4),
        )


@pytest.mark.parametrize("layers", [(), (2, 2), (3, 1), (0, 2), (1, 5)])
def test_exit_layers_ascend_within_the_depth(layers):
    with pytest.raises(UserError, match=r"exit layers that ascend within 1 \.\.\. 4; found"):
        ExitCosts(layers, depth=4, flops_E=(1.0,) * len(layers), full_flops=4.0)


def test_every_exit_has_its_flops():
    with pytest.raises(UserError, match="FLOPs of 2 exits; found 1 values"):
        ExitCosts((1, 2), depth=2, flops_E=(1.0,), full_flops=2.0)
