"""Calibration of the exits: temperature per exit, reliability diagram and expected calibration error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.calibrated import check_temperatures
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.report import Bin, ExitCalibration

#: Range of the search for a temperature.
RANGE = (0.05, 20.0)

#: Width, in the logarithm of the temperature, at which the search ends.
_PRECISION = 1e-7

_GOLDEN = (math.sqrt(5) - 1) / 2


def negative_log_likelihood(logits_BC: Tensor, labels_B: Tensor, temperature: float = 1.0) -> float:
    """Return the mean of `-log softmax(logits / T)[label]` in nats, computed in float64."""
    logarithms_BC = (logits_BC.double() / temperature).log_softmax(dim=-1)
    return -logarithms_BC.gather(1, labels_B[:, None]).mean().item()


def fit_temperatures(logits_EBC: Tensor, labels_B: Tensor) -> tuple[float, ...]:
    """Return the temperature of each exit that minimises the negative log-likelihood of the labels (Guo et al., 2017).

    Golden-section search over log T in float64. The likelihood is convex in 1/T, so it has one minimum, and the result
    is exact to seven digits and the same on every machine. Where all predictions are correct the likelihood decreases
    towards T = 0, and the result is the lower end of `RANGE`; where an exit is at chance, it is the upper end.

    Args:
        logits_EBC: Logits of the samples to fit on, those of the selection split.
        labels_B: Classes.

    Raises:
        UserError: A regression, no samples, or logits that are not finite.
    """
    if logits_EBC.shape[-1] < 2:
        raise UserError("classes to calibrate", "a regression (1 output)", "Set exit_sweep.calibrate=false.")
    if not len(labels_B):
        raise UserError("samples to fit temperatures on", "none", "Validate on more samples.")
    if not logits_EBC.isfinite().all():
        raise UserError(
            "finite exit logits to calibrate",
            "inf or NaN",
            "The training diverged: train again with a lower model.optimization.learning_rate.",
        )
    return tuple(_fit(logits_BC, labels_B) for logits_BC in logits_EBC)


def _fit(logits_BC: Tensor, labels_B: Tensor) -> float:
    low, high = (math.log(end) for end in RANGE)

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(logits_BC, labels_B, math.exp(logarithm))

    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > _PRECISION:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return math.exp((low + high) / 2)


def exit_probabilities(logits_BC: Tensor, exit_B: Tensor, temperatures_E: Sequence[float] | None) -> Tensor:
    """Return the class probabilities (B, C), `softmax(logits / T[exit])`, in float32.

    Args:
        logits_BC: Logits of the exit by which each sample left.
        exit_B: Index of that exit, from 0.
        temperatures_E: Temperature of each exit; None: 1 at every exit, which gives uncalibrated probabilities.
    """
    logits_BC = logits_BC.float()
    if temperatures_E is not None:
        logits_BC = logits_BC / logits_BC.new_tensor(temperatures_E)[exit_B][:, None]
    return logits_BC.softmax(dim=-1)


def reliability(logits_BC: Tensor, labels_B: Tensor, *, temperature: float = 1.0, bins: int = 15) -> list[Bin]:
    """Return confidence and accuracy in bins of equal width over confidence; bin i holds (i/bins, (i+1)/bins].

    Args:
        logits_BC: Logits of one exit.
        labels_B: Classes.
        temperature: Divisor of the logits.
        bins: Number of bins.
    """
    probability_B, predicted_B = (logits_BC.double() / temperature).softmax(dim=-1).max(dim=-1)
    bin_B = ((probability_B * bins).ceil().long() - 1).clamp(0, bins - 1)
    count_N = bin_B.bincount(minlength=bins).double()
    confidence_N = bin_B.bincount(probability_B, minlength=bins) / count_N
    accuracy_N = bin_B.bincount((predicted_B == labels_B).double(), minlength=bins) / count_N
    columns = (count_N.long().tolist(), confidence_N.tolist(), accuracy_N.tolist())
    return [Bin(*values) for values in zip(*columns, strict=True)]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error, `sum_i count_i / n * |accuracy_i - confidence_i|` (Guo et al., 2017)."""
    total = sum(bin_.count for bin_ in bins)
    return sum(bin_.count * abs(bin_.accuracy - bin_.confidence) for bin_ in bins if bin_.count) / total


def calibrate_exits(record: ExitRecord) -> tuple[ExitCalibration, ...] | None:
    """Fit the temperature of each exit on the selection split and measure its effect on the report split.

    Returns:
        The calibration of each exit; None for a regression and where logits are not finite.
    """
    if record.is_regression or not record.logits_EBC.isfinite().all():
        return None
    selection, report = record.split(selection=True), record.split(selection=False)
    temperatures_E = fit_temperatures(selection.logits_EBC, selection.labels_B)
    exits = []
    for layer, temperature, logits_BC in zip(record.costs.layers_E, temperatures_E, report.logits_EBC, strict=True):
        before = reliability(logits_BC, report.labels_B)
        after = reliability(logits_BC, report.labels_B, temperature=temperature)
        occupied = (tuple(bin_ for bin_ in bins if bin_.count) for bins in (before, after))
        errors = calibration_error(before), calibration_error(after)
        exits.append(ExitCalibration(layer, temperature, *errors, *occupied))
    return tuple(exits)


def stored_temperatures(result: Mapping[str, Any], num_exits: int) -> tuple[float, ...] | None:
    """Return the temperature of each exit that a run's `result.json` holds; None where the run was not calibrated.

    Raises:
        UserError: The run was calibrated, and its temperatures are missing, not positive, or of other exits.
    """
    rows = result.get("calibration")
    if not result.get("calibrated"):
        return None
    try:
        temperatures_E = tuple(float(row["temperature"]) for row in rows or ())
    except (TypeError, KeyError, ValueError):
        temperatures_E = ()
    check_temperatures(temperatures_E)
    if len(temperatures_E) != num_exits:
        raise UserError(
            f"temperatures of {num_exits} exits in result.json",
            f"{len(temperatures_E)}",
            "Validate the run again with --exit_sweep.calibrate=true.",
        )
    return temperatures_E
