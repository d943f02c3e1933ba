"""Making certainties of different exits mean the same: one temperature per exit (Guo et al., 2017)."""

from __future__ import annotations

import math

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
