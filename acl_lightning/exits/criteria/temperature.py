"""Temperature scaling: one temperature per exit, fitted on the selection half (Guo et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from acl_lightning.errors import UserError

#: Temperatures are searched between these.
RANGE = (0.05, 20.0)

#: Width, in the logarithm of the temperature, at which the search ends.
_PRECISION = 1e-7

_GOLDEN = (math.sqrt(5) - 1) / 2


def negative_log_likelihood(logits_BC: Tensor, labels_B: Tensor, temperature: float = 1.0) -> float:
    """Mean of `-log softmax(logits / T)[label]` in nats, computed in float64."""
    logarithms_BC = (logits_BC.double() / temperature).log_softmax(dim=-1)
    return -logarithms_BC.gather(1, labels_B[:, None]).mean().item()


def fit_temperatures(logits_EBC: Tensor, labels_B: Tensor) -> tuple[float, ...]:
    """The temperature of each exit that minimises the negative log-likelihood of the labels.

    Golden-section search over log T in float64: the likelihood has a single minimum in 1/T (it is convex there), so the
    answer is exact to seven digits and the same on every machine. Where all samples are right the likelihood wants
    T = 0, and the answer is the lower end of `RANGE`; where an exit knows nothing, the upper one.

    Args:
        logits_EBC: of the samples to fit on: the selection half.
        labels_B: classes.

    Raises:
        UserError: a regression, no samples, or logits that are not finite.
    """
    if logits_EBC.shape[-1] < 2:
        raise UserError("classes to calibrate", "a regression (1 output)", "Switch calibration off.")
    if not len(labels_B):
        raise UserError("samples to fit temperatures on", "none", "Validate on more samples.")
    if not logits_EBC.isfinite().all():
        raise UserError("finite exit logits to calibrate", "inf or NaN", "The training diverged; lower its rates.")
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
        logits_BC: logits of the exit that each sample left by.
        exit_B: index of that exit, from 0.
        temperatures_E: temperature of each exit; None: 1 at every exit, which gives uncalibrated probabilities.
    """
    logits_BC = logits_BC.float()
    if temperatures_E is not None:
        logits_BC = logits_BC / logits_BC.new_tensor(temperatures_E)[exit_B][:, None]
    return logits_BC.softmax(dim=-1)


def stored_temperatures(result: Mapping[str, Any], num_exits: int) -> tuple[float, ...] | None:
    """Return the temperature of each exit that a run's `result.json` holds; None where the run was not calibrated.

    Raises:
        UserError: the run was calibrated, and its temperatures are missing, not positive, or of other exits.
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


def check_temperatures(temperatures_E: Sequence[float]) -> None:
    """Raise `UserError` unless there is at least one temperature and all are positive and finite."""
    if not temperatures_E or not all(0 < temperature < math.inf for temperature in temperatures_E):
        raise UserError(
            "a positive temperature per exit",
            f"{list(temperatures_E)}",
            "Validate the run again with --exit_sweep.calibrate=true.",
        )
