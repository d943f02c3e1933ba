"""Criteria that count consecutive exits at which a condition holds."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from acl_lightning.serving.criteria.base import Floats, ServedCriterion
from acl_lightning.serving.criteria.distributions import (
    finite,
    jensen_shannon,
    log_probabilities,
    normalised_entropy,
)


class ConsecutiveCriterion(ServedCriterion):
    """Number of consecutive exits, up to the current exit, at which a condition holds."""

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        finite_EB = finite(logits_EBC)
        holds_EB = self.holds(logits_EBC) & finite_EB
        count_B = np.zeros(logits_EBC.shape[1], dtype=np.float32)
        for holds_B in holds_EB:
            count_B = (count_B + np.float32(1)) * holds_B
        return np.where(finite_EB[-1], count_B, np.float32(-np.inf))

    @abstractmethod
    def holds(self, logits_EBC: Floats) -> NDArray[np.bool_]:
        """Return where the condition holds, (E, B); ignored where logits are not finite."""


class Patience(ConsecutiveCriterion):
    """Consecutive exits with the same prediction; for a regression, with values that differ by less than `delta`."""

    name = "patience"

    def __init__(self, delta: float | None = None) -> None:
        self.delta = delta

    def holds(self, logits_EBC: Floats) -> NDArray[np.bool_]:
        """Return where the prediction of an exit is that of the exit before."""
        agrees_EB = np.zeros(logits_EBC.shape[:2], dtype=np.bool_)
        if logits_EBC.shape[-1] == 1:
            delta = np.float32(0.2 if self.delta is None else self.delta)
            agrees_EB[1:] = np.abs(np.diff(logits_EBC[..., 0], axis=0)) < delta
        else:
            agrees_EB[1:] = np.diff(logits_EBC.argmax(axis=-1), axis=0) == 0
        agrees_EB[1:] &= finite(logits_EBC[:-1])
        return agrees_EB


class PCEE(ConsecutiveCriterion):
    """Consecutive exits whose normalised entropy is below a bound."""

    name = "pcee"

    def __init__(self, bound: float | None = None) -> None:
        self.bound = np.float32(0.2 if bound is None else bound)

    def holds(self, logits_EBC: Floats) -> NDArray[np.bool_]:
        """Return where the entropy of an exit is below the bound."""
        below_EB: NDArray[np.bool_] = normalised_entropy(log_probabilities(logits_EBC)) < self.bound
        return below_EB


class FPABEE(ConsecutiveCriterion):
    """Consecutive exits whose distribution diverges from that of the exit before by less than a bound."""

    name = "fpabee"

    def __init__(self, bound: float | None = None) -> None:
        self.bound = np.float32(0.05 if bound is None else bound)

    def holds(self, logits_EBC: Floats) -> NDArray[np.bool_]:
        """Return where the distribution of an exit is near that of the exit before."""
        log_p_EBC = log_probabilities(logits_EBC)
        near_EB = np.zeros(logits_EBC.shape[:2], dtype=np.bool_)
        near_EB[1:] = jensen_shannon(log_p_EBC[:-1], log_p_EBC[1:]) < self.bound
        return near_EB
