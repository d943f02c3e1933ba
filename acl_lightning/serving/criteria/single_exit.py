"""Criteria that read the current exit alone."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from acl_lightning.errors import UserError
from acl_lightning.serving.criteria.base import BELOW_ONE, Floats, ServedCriterion
from acl_lightning.serving.criteria.distributions import finite, log_probabilities, normalised_entropy


class DistributionCriterion(ServedCriterion):
    """A criterion in [0, 1) that reads the class distribution of the current exit alone."""

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        logits_BC = logits_EBC[-1]
        certainty_B = np.clip(self.of_distribution(log_probabilities(logits_BC)), np.float32(0), BELOW_ONE)
        return np.where(finite(logits_BC), certainty_B, np.float32(-np.inf))

    @abstractmethod
    def of_distribution(self, log_probabilities_BC: Floats) -> Floats:
        """Return the certainty (B,) of distributions, from their logarithms."""


class Confidence(DistributionCriterion):
    """Largest probability."""

    name = "confidence"

    def of_distribution(self, log_probabilities_BC: Floats) -> Floats:
        """Return the largest probability."""
        largest_B: Floats = np.exp(log_probabilities_BC.max(axis=-1))
        return largest_B


class Entropy(DistributionCriterion):
    """1 minus the normalised entropy."""

    name = "entropy"

    def of_distribution(self, log_probabilities_BC: Floats) -> Floats:
        """Return 1 minus the normalised entropy."""
        return np.float32(1) - normalised_entropy(log_probabilities_BC)


class Margin(DistributionCriterion):
    """Largest probability minus the second largest."""

    name = "margin"

    def of_distribution(self, log_probabilities_BC: Floats) -> Floats:
        """Return the largest probability minus the second largest."""
        first_two_B2 = np.exp(np.partition(log_probabilities_BC, -2, axis=-1)[:, -2:])
        return first_two_B2[:, 1] - first_two_B2[:, 0]


class LearntGate(ServedCriterion):
    """Probability that the exit is correct, by the learnt gate."""

    name = "learnt_gate"

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`.

        Raises:
            UserError: The model has no gate.
        """
        if gates_EB is None:
            raise UserError("a model with a learnt gate", "one without", "Use another operating point.")
        gates_B = gates_EB[-1]
        with np.errstate(over="ignore"):
            certainty_B = np.minimum((1 / (1 + np.exp(-gates_B.astype(np.float64)))).astype(np.float32), BELOW_ONE)
        return np.where(np.isfinite(gates_B) & finite(logits_EBC[-1]), certainty_B, np.float32(-np.inf))


class PrototypeMargin(ServedCriterion):
    """Mean of the negentropy and the margin of the cosines with the label embeddings."""

    name = "prototype_margin"

    def __init__(self, weight: float | None = None) -> None:
        self.weight = np.float32(0.5 if weight is None else weight)

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`.

        Raises:
            UserError: The package has no cosines.
        """
        if cosines_EBC is None:
            raise UserError("a package with cosines", "one without", "Export the run again.")
        logits_BC, cosines_BC = logits_EBC[-1], cosines_EBC[-1]
        predicted_B1 = logits_BC.argmax(axis=-1)[:, None]
        own_B = np.take_along_axis(cosines_BC, predicted_B1, axis=-1)[:, 0]
        others_BC = cosines_BC.copy()
        np.put_along_axis(others_BC, predicted_B1, np.float32(-np.inf), axis=-1)
        with np.errstate(invalid="ignore"):
            margin_B = (np.float32(2) + own_B - others_BC.max(axis=-1)) / np.float32(4)
            negentropy_B = np.float32(1) - normalised_entropy(log_probabilities(logits_BC))
            mean_B = (np.float32(1) - self.weight) * negentropy_B + self.weight * margin_B
        finite_B = finite(logits_BC) & finite(cosines_BC)
        return np.where(finite_B, np.clip(mean_B, np.float32(0), BELOW_ONE), np.float32(-np.inf))


class Static(ServedCriterion):
    """Number of the exit, whatever the logits are."""

    name = "static"

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        return np.full(logits_EBC.shape[1], len(logits_EBC), dtype=np.float32)
