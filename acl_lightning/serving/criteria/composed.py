"""Criteria that change the logits which another criterion reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acl_lightning.serving.criteria.base import Floats, ServedCriterion
from acl_lightning.serving.criteria.distributions import finite


class Calibrated(ServedCriterion):
    """A criterion that reads `logits / T_e` at exit e.

    Args:
        criterion: The inner criterion.
        temperatures_E: Temperature of each exit.
    """

    name = "calibrated"

    def __init__(self, criterion: ServedCriterion, temperatures_E: Sequence[float]) -> None:
        self.criterion = criterion
        self.temperatures_E = np.array(temperatures_E, dtype=np.float32)

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        divided_EBC: Floats = logits_EBC / self.temperatures_E[: len(logits_EBC), None, None]
        return self.criterion.certainty(divided_EBC, gates_EB, cosines_EBC)


class Ensembled(ServedCriterion):
    """A criterion that reads, and answers by, the weighted mean of the logits of the exits up to each exit.

    Args:
        criterion: The inner criterion.
        weights_EE: Row m holds the weights of the exits 1 to m.
    """

    name = "ensemble"

    def __init__(self, criterion: ServedCriterion, weights_EE: Sequence[Sequence[float]]) -> None:
        self.criterion = criterion
        self.weights_EE = [np.array(row, dtype=np.float32) for row in weights_EE]

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        means_EBC = np.stack([self.answer(logits_EBC[: exit_ + 1]) for exit_ in range(len(logits_EBC))])
        return self.criterion.certainty(means_EBC, gates_EB, cosines_EBC)

    def answer(self, logits_EBC: Floats) -> Floats:
        """Return the weighted mean (B, C); NaN where an exit with a weight is not finite."""
        weights_E = self.weights_EE[len(logits_EBC) - 1]
        mean_BC: Floats = np.zeros_like(logits_EBC[-1])
        for weight, logits_BC in zip(weights_E, logits_EBC, strict=True):
            if weight > 0:
                finite_B1 = finite(logits_BC)[:, None]
                mean_BC = mean_BC + np.where(finite_B1, weight * logits_BC, np.float32(np.nan))
        return mean_BC
