"""Temperatures, the criterion that uses them, and the calibration error against the definition written out."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import expected_calibration_error

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Calibrated,
    Confidence,
    Entropy,
    calibration_error,
    fit_temperatures,
    from_config,
    negative_log_likelihood,
    reliability,
    to_config,
)
from acl_lightning.exits.evaluation.calibration import RANGE


def sampled(temperature: float, samples: int = 40_000, seed: int = 0):
    """Logits whose labels are drawn from softmax(logits / temperature)."""
    generator = torch.Generator().manual_seed(seed)
    logits_BC = 3 * torch.randn(samples, 3, generator=generator)
    labels_B = torch.multinomial((logits_BC / temperature).softmax(dim=-1), 1, generator=generator).squeeze(1)
    return logits_BC, labels_B


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(truth):
    logits_BC, labels_B = sampled(truth)
    (found,) = fit_temperatures(logits_BC[None], labels_B)
    assert found == pytest.approx(truth, rel=0.05)
    at_best = negative_log_likelihood(logits_BC, labels_B, found)
    for beside in (0.999, 1.001):
        assert at_best <= negative_log_likelihood(logits_BC, labels_B, beside * found)
    before = calibration_error(reliability(logits_BC, labels_B))
    after = calibration_error(reliability(logits_BC, labels_B, temperature=found))
    assert after < 0.01
    assert truth == 1.0 or after < before / 3


def test_each_exit_has_its_own_and_the_answer_is_the_same_every_time():
    logits_BC, labels_B = sampled(0.7, 2000)
    logits_EBC = torch.stack([logits_BC, 3 * logits_BC])
    both = fit_temperatures(logits_EBC, labels_B)
    assert both[0] == fit_temperatures(logits_BC[None], labels_B)[0]
    assert both[1] == pytest.approx(3 * both[0], rel=1e-5)
    assert both == fit_temperatures(logits_EBC, labels_B)


def test_where_no_temperature_is_best_the_ends_of_the_range_are_the_answer():
    logits_EBC = torch.tensor([[[2.0, 0.0], [0.0, 2.0]], [[0.0, 2.0], [2.0, 0.0]]])
    perfect, wrong = fit_temperatures(logits_EBC, torch.tensor([0, 1]))
    assert perfect == pytest.approx(RANGE[0], rel=1e-5)
    assert wrong == pytest.approx(RANGE[1], rel=1e-5)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.zeros(2, 3, 1), "expected classes to calibrate; found a regression"),
        (torch.zeros(2, 0, 2), "expected samples to fit temperatures on; found none"),
        (torch.full((2, 3, 2), math.nan), "expected finite exit logits to calibrate; found inf or NaN"),
    ],
)
def test_what_cannot_be_calibrated_is_said(logits, message):
    with pytest.raises(UserError, match=message):
        fit_temperatures(logits, torch.zeros(logits.shape[1], dtype=torch.long))


def test_a_calibrated_criterion_sees_divided_logits_exit_by_exit():
    logits_EBC = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    calibrated = Calibrated(Entropy(), (0.5, 1.0, 4.0))
    found = calibrated.certainty(calibrated.inputs(logits_EBC, None))
    for number, temperature in enumerate((0.5, 1.0, 4.0)):
        expected = Entropy().certainty(logits_EBC[number : number + 1] / temperature)[0]
        torch.testing.assert_close(found[number], expected)
    # Causal: with the first exits alone it gives the same certainties, bit for bit, as it is the same object.
    assert torch.equal(calibrated.certainty(calibrated.inputs(logits_EBC[:2], None)), found[:2])
    assert (calibrated.name, Entropy.name) == ("calibrated_entropy", "entropy")
    assert calibrated.thresholds(3) == Entropy().thresholds(3)
    assert calibrated.settings == Entropy().settings
    with pytest.raises(UserError, match="a threshold of entropy between 0"):
        calibrated.check_threshold(1.5)


def test_temperatures_must_be_positive_and_enough():
    for wrong in ((), (1.0, 0.0), (math.nan,), (math.inf,)):
        with pytest.raises(UserError, match="a positive temperature per exit"):
            Calibrated(Confidence(), wrong)
    with pytest.raises(UserError, match="expected temperatures of 3 exits; found 2"):
        Calibrated(Confidence(), (1.0, 1.0)).inputs(torch.zeros(3, 1, 2), None)


def test_its_description_builds_it_again():
    calibrated = Calibrated(Entropy(), (0.5, 2.0))
    again = from_config(to_config(calibrated))
    assert isinstance(again, Calibrated)
    assert isinstance(again.criterion, Entropy)
    assert (again.temperatures_E, again.name) == (calibrated.temperatures_E, calibrated.name)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 40), st.integers(2, 4), st.sampled_from([1, 5, 15]))
def test_the_error_is_the_definitions(seed, samples, classes, bins):
    generator = torch.Generator().manual_seed(seed)
    logits_BC = 3 * torch.randn(samples, classes, generator=generator)
    labels_B = torch.randint(classes, (samples,), generator=generator)
    probabilities = logits_BC.double().softmax(dim=-1).tolist()
    expected = expected_calibration_error(probabilities, labels_B.tolist(), bins)
    found = reliability(logits_BC, labels_B, bins=bins)
    assert calibration_error(found) == pytest.approx(expected)
    assert sum(one.count for one in found) == samples


def test_by_hand():
    logits_BC = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0], [0.0, math.log(9)]], dtype=torch.float64)
    found = reliability(logits_BC, torch.tensor([0, 1, 1]), bins=4)
    # Three quarters sure twice, right once; nine tenths sure once, right. The edge 0.75 belongs to the bin below it.
    assert [one.count for one in found] == [0, 0, 2, 1]
    assert (found[2].confidence, found[2].accuracy) == (pytest.approx(0.75), 0.5)
    assert calibration_error(found) == pytest.approx(2 / 3 * 0.25 + 1 / 3 * 0.1)
    assert math.isnan(found[0].accuracy)
