"""Every criterion against the published counter loops, on hostile logits, and at its thresholds' ends."""

from __future__ import annotations

import doctest
import importlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import confidence_exit, entropy_exit, patience_exit
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    FPABEE,
    PCEE,
    Calibrated,
    Confidence,
    Criterion,
    Entropy,
    LearntGate,
    Margin,
    Patience,
    Static,
    exit_index,
)
from acl_lightning.exits.criteria.consecutive import fpabee, patience, pcee
from acl_lightning.exits.criteria.consecutive.fpabee import jensen_shannon

SHARES = [Confidence(), Entropy(), Margin()]
COUNTS = [Patience(), PCEE(), PCEE(0.9), FPABEE(), FPABEE(0.5)]
CRITERIA = [*SHARES, *COUNTS, Static()]
shapes = st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(2, 5))


def random_logits(shape: tuple[int, ...], seed: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def samples(logits_EBC: Tensor) -> list[list[list[float]]]:
    return logits_EBC.transpose(0, 1).tolist()


def leave(criterion: Criterion, logits_EBC: Tensor, threshold: float) -> list[int]:
    exits: list[int] = exit_index(criterion.certainty(logits_EBC), torch.tensor([threshold]))[0].tolist()
    return exits


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 2**16), st.floats(0.02, 0.98))
def test_confidence_and_entropy_leave_where_the_published_loops_do(shape, seed, threshold):
    logits_EBC = random_logits(shape, seed).double()
    # DeeBERT's scale: nats.
    bound = (1 - threshold) * math.log(shape[-1])
    assert leave(Confidence(), logits_EBC, threshold) == [
        confidence_exit(one, threshold) for one in samples(logits_EBC)
    ]
    assert leave(Entropy(), logits_EBC, threshold) == [entropy_exit(one, bound) for one in samples(logits_EBC)]


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 2**16), st.integers(1, 6))
def test_patience_leaves_where_pabees_counter_does(shape, seed, patience):
    logits_EBC = random_logits(shape, seed)
    assert leave(Patience(), logits_EBC, patience) == [
        patience_exit(one, patience) for one in logits_EBC.transpose(0, 1).tolist()
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 2**16), st.integers(1, 6), st.floats(0.05, 2.0))
def test_patience_on_a_regression_compares_values(exits, batch, seed, patience, delta):
    logits_EBC = random_logits((exits, batch, 1), seed, scale=1.0)
    expected = [patience_exit(one, patience, delta=delta) for one in samples(logits_EBC)]
    assert leave(Patience(delta=delta), logits_EBC, patience) == expected


def test_entropy_is_zero_at_the_uniform_and_near_one_at_a_one_hot_distribution():
    certainty = Entropy().certainty(torch.tensor([[[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]]]))
    torch.testing.assert_close(certainty, torch.tensor([[0.0, 1.0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("criterion", SHARES, ids=lambda criterion: criterion.name)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e2, 6e4])
def test_certainty_is_float32_within_its_range_whatever_the_scale(criterion, dtype, scale):
    certainty = criterion.certainty((scale * torch.randn(4, 16, 3).clamp(-1, 1)).to(dtype))
    assert certainty.dtype == torch.float32
    assert ((certainty >= 0) & (certainty < 1)).all()


@pytest.mark.parametrize("criterion", [*SHARES, *COUNTS], ids=lambda criterion: criterion.name)
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_nobody_leaves_early_on_logits_that_are_not_finite(criterion, poison):
    logits_EBC = torch.zeros(5, 2, 3)
    logits_EBC[..., 0] = 40.0
    logits_EBC[:4, 0, 1] = poison
    certainty_EB = criterion.certainty(logits_EBC)
    assert not certainty_EB.isnan().any()
    assert (certainty_EB[:4, 0] == -math.inf).all()
    threshold = criterion.thresholds(5)[0]
    assert leave(criterion, logits_EBC, threshold)[0] == 4
    assert leave(criterion, logits_EBC, threshold)[1] < 4


def test_the_margin_of_two_classes_is_twice_the_confidence_minus_one():
    logits_EBC = random_logits((3, 50, 2), 0)
    torch.testing.assert_close(Margin().certainty(logits_EBC), 2 * Confidence().certainty(logits_EBC) - 1)


def test_ties_are_no_margin_and_full_agreement():
    tied = torch.zeros(3, 2, 4)
    assert (Margin().certainty(tied) == 0).all()
    assert FPABEE(1e-6).certainty(tied)[:, 0].tolist() == [0, 1, 2]
    assert PCEE(0.99).certainty(tied)[:, 0].tolist() == [0, 0, 0]


def test_the_divergence_is_symmetric_and_runs_from_no_bit_to_one():
    log_p, log_q = random_logits((2, 40, 3), 1).log_softmax(dim=-1)
    torch.testing.assert_close(jensen_shannon(log_p, log_q), jensen_shannon(log_q, log_p))
    assert (jensen_shannon(log_p, log_p) < 1e-7).all()
    apart = torch.tensor([[0.0, -1e4], [-1e4, 0.0]])
    assert jensen_shannon(apart[0], apart[1]).item() == pytest.approx(1.0)


@pytest.mark.parametrize("bound", [0.1, 0.4, 0.8])
def test_pcee_with_patience_one_is_the_entropy_criterion(bound):
    logits_EBC = random_logits((5, 60, 3), 2)
    assert leave(PCEE(bound), logits_EBC, 1) == leave(Entropy(), logits_EBC, 1 - bound)


def test_an_open_setting_stands_for_a_family():
    for kind, values, name in ((PCEE, pcee.BOUNDS, "bound"), (FPABEE, fpabee.BOUNDS, "bound")):
        assert [one.settings for one in kind().variants(3)] == [{name: value} for value in values]
        given = kind(0.25)
        assert list(given.variants(3)) == [given]
        assert given.settings == {"bound": 0.25}
        assert kind().settings == {}
    assert [one.settings for one in Patience().variants(1)] == [{"delta": delta} for delta in patience.DELTAS]
    for alone, classes in ((Patience(), 2), (Patience(0.3), 1), (Entropy(), 2)):
        assert list(alone.variants(classes)) == [alone]


def test_an_open_bound_has_a_default():
    logits_EBC = random_logits((5, 60, 3), 3)
    for open_, default in ((PCEE(), PCEE(0.2)), (FPABEE(), FPABEE(0.05))):
        assert torch.equal(open_.certainty(logits_EBC), default.certainty(logits_EBC))
    values_EB1 = random_logits((5, 60, 1), 3, scale=0.3)
    assert torch.equal(Patience().certainty(values_EB1), Patience(0.2).certainty(values_EB1))


def test_the_gate_reads_its_own_logits():
    gate, gates_EB = LearntGate(), torch.tensor([[-1e4, 0.0, 1e4, 2.0], [math.nan, math.inf, -math.inf, 2.0]])
    logits_EBC = torch.zeros(2, 4, 3)
    logits_EBC[0, 3, 1] = math.nan
    certainty_EB = gate.certainty(gate.inputs(logits_EBC, gates_EB))
    assert certainty_EB[0].tolist() == [0.0, 0.5, 1 - 2**-24, -math.inf]
    assert certainty_EB[1, :3].tolist() == [-math.inf] * 3
    assert certainty_EB[1, 3] == pytest.approx(0.880797)
    with pytest.raises(UserError, match="a model with a learnt gate; found one without"):
        gate.inputs(logits_EBC, None)
    assert not gate.supports_regression


@pytest.mark.parametrize(("criterion", "longest"), [(Patience(), 3), (PCEE(), 4), (FPABEE(), 3)])
def test_a_patience_that_is_never_reached_warns(criterion, longest):
    criterion.check_reachable(longest, 4)
    with pytest.warns(UserWarning, match=f"{criterion.name} counts to {longest} at most: .* of 9 no sample leaves"):
        criterion.check_reachable(9, 4)


def test_an_exit_that_does_not_exist_is_refused():
    Static().check_reachable(4, 4)
    Confidence().check_reachable(1.0, 4)
    with pytest.raises(UserError, match="a threshold of static up to 4 with 4 exits; found 5"):
        Static().check_reachable(5, 4)


@pytest.mark.parametrize("bound", [0.0, -0.1, 1.1, math.nan])
def test_bounds_are_shares(bound):
    with pytest.raises(UserError, match=rf"a bound of pcee's normalised entropy in \(0, 1\]; found {bound}"):
        PCEE(bound)
    with pytest.raises(UserError, match=rf"a bound of fpabee's Jensen-Shannon divergence in \(0, 1\]; found {bound}"):
        FPABEE(bound)


def test_patience_counts_anew_after_an_exit_that_is_not_finite():
    logits_EBC = torch.tensor([[1.0, 0], [1, 0], [math.nan, 0], [1, 0], [1, 0]]).unsqueeze(1)
    assert Patience().certainty(logits_EBC).flatten().tolist() == [0, 1, -math.inf, 0, 1]


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.name)
@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**16))
def test_later_exits_never_change_an_earlier_certainty(criterion, shape, seed):
    logits_EBC = random_logits(shape, seed)
    whole = criterion.certainty(logits_EBC)
    for exits in range(1, shape[0] + 1):  # bit for bit: the same object on the same machine, else exits could differ
        torch.testing.assert_close(criterion.certainty(logits_EBC[:exits]), whole[:exits], rtol=0, atol=0)


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.name)
@pytest.mark.parametrize("num_exits", [1, 2, 6, 12])
def test_the_grid_ascends_within_range_from_the_earliest_exit_to_never(criterion, num_exits):
    grid = criterion.thresholds(num_exits)
    assert grid == sorted(set(grid))
    for threshold in grid:
        criterion.check_threshold(threshold)
    # Alike and saturated at every exit: the surest that logits can be.
    sure = torch.tensor([1e4, 0.0]).expand(num_exits, 3, 2)
    earliest = min(1 if criterion.name in ("patience", "fpabee") else 0, num_exits - 1)
    assert leave(criterion, sure, grid[0]) == [earliest] * 3
    assert leave(criterion, sure, grid[-1]) == [num_exits - 1] * 3


def test_continuous_grids_have_about_a_hundred_points_and_are_dense_near_one():
    for criterion in (*SHARES, LearntGate()):
        grid = criterion.thresholds(6)
        assert 90 <= len(grid) <= 110
        assert sum(0.99 < threshold < 1 for threshold in grid) >= 30


@pytest.mark.parametrize("criterion", CRITERIA, ids=lambda criterion: criterion.name)
@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**16))
def test_a_higher_threshold_never_makes_anybody_leave_earlier(criterion, shape, seed):
    logits_EBC = random_logits(shape, seed)
    grid = torch.tensor(criterion.thresholds(shape[0]), dtype=torch.float64)
    exits_TB = exit_index(criterion.certainty(logits_EBC), grid)
    assert (exits_TB.diff(dim=0) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(shapes, st.integers(0, 2**16))
def test_static_leaves_everybody_at_its_exit(shape, seed):
    logits_EBC = random_logits(shape, seed)
    for number in range(1, shape[0] + 1):
        assert leave(Static(), logits_EBC, number) == [number - 1] * shape[1]


@pytest.mark.parametrize("criterion", [*SHARES, PCEE(), FPABEE()], ids=lambda criterion: criterion.name)
def test_a_regression_is_sent_to_patience(criterion):
    with pytest.raises(UserError, match=rf"expected at least 2 classes for the criterion '{criterion.name}'.*patience"):
        criterion.certainty(torch.zeros(3, 2, 1))
    assert not criterion.supports_regression


@pytest.mark.parametrize("threshold", [-0.01, 1.01, math.nan, math.inf])
@pytest.mark.parametrize("criterion", [*SHARES, LearntGate()], ids=lambda criterion: criterion.name)
def test_a_share_threshold_out_of_range_names_the_range(criterion, threshold):
    with pytest.raises(UserError, match=rf"a threshold of {criterion.name} between 0 .* and 1 .*; found {threshold}"):
        criterion.check_threshold(threshold)


@pytest.mark.parametrize("threshold", [0, -1, 1.5, math.nan, math.inf])
def test_a_patience_is_a_whole_number(threshold):
    for criterion in COUNTS:
        with pytest.raises(UserError, match=f"whole number, 1 or more; found {threshold}"):
            criterion.check_threshold(threshold)
    with pytest.raises(UserError, match=f"number of an exit, 1 or more; found {threshold}"):
        Static().check_threshold(threshold)


@pytest.mark.parametrize("delta", [0.0, -1.0, math.nan])
def test_delta_is_positive(delta):
    with pytest.raises(UserError, match=f"a positive delta of patience; found {delta}"):
        Patience(delta=delta)


@pytest.mark.parametrize(
    "name",
    [
        *("confidence", "entropy", "margin", "learnt_gate", "prototype_margin", "ensembled"),
        *("consecutive.patience", "consecutive.pcee", "consecutive.fpabee"),
    ],
)
def test_the_examples_in_the_docstrings_hold(name):
    results = doctest.testmod(importlib.import_module(f"acl_lightning.exits.criteria.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_a_sweep_of_pcee_reaches_the_first_exit_even_where_all_are_unsure():
    logits_EBC = 0.1 * torch.randn(4, 50, 2, generator=torch.Generator().manual_seed(0))
    loosest = PCEE().variants(2)[-1]
    assert (loosest.certainty(logits_EBC)[0] >= 1).all()


def test_criteria_of_the_same_settings_are_equal():
    assert PCEE(0.2) == PCEE(0.2) != PCEE(0.3)
    assert Confidence() != Entropy()
    assert Calibrated(PCEE(0.2), [1.0, 2.0]) == Calibrated(PCEE(0.2), (1, 2)) != Calibrated(PCEE(0.2), [1.0, 3.0])
    assert len({PCEE(0.2), PCEE(0.2), PCEE(0.3), Confidence()}) == 3
