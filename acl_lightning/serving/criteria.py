"""Exit criteria in numpy, with the names and settings of `acl_lightning.exits.criteria`.

`acl_lightning.exits.criteria` has the formulas, sources and grids; the classes here only decide. To give a criterion a
numpy form, subclass `ServedCriterion`, or `DistributionCriterion` if it reads the class distribution of an exit alone,
and list the class in `BUILT_IN`. Tests compare all criteria of both registries.

Shapes: E exits up to the current exit, B samples, C classes (1 for a regression). All values are float32.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from acl_lightning.errors import UserError

Floats = NDArray[np.float32]

#: The largest float32 below 1.
BELOW_ONE = np.float32(1.0 - 2.0**-24)


class ServedCriterion(ABC):
    """Certainty of an exit, from the logits of this exit and all exits before it.

    A sample leaves at the first exit with `certainty >= threshold`, else at the last exit. The constructor takes the
    settings by name, as a manifest holds them.

    Attributes:
        name: Name in a manifest.
    """

    name: ClassVar[str]

    @abstractmethod
    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """Return the certainty (B,) of the last of the E exits, never NaN; -inf where a sample must not leave.

        Args:
            logits_EBC: Logits of all exits up to the current exit.
            gates_EB: Logits of the learnt gate; None for a model without a gate.
            cosines_EBC: Cosines with the label embeddings; None for a package without a criterion that reads them.
        """

    def answer(self, logits_EBC: Floats) -> Floats:
        """Return the logits (B, C) by which samples that leave at the last of the E exits are answered."""
        last_BC: Floats = logits_EBC[-1]
        return last_BC


class DistributionCriterion(ServedCriterion):
    """A criterion in [0, 1) that reads the class distribution of the current exit alone."""

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        logits_BC = logits_EBC[-1]
        certainty_B = np.clip(self.of_distribution(log_probabilities(logits_BC)), np.float32(0), BELOW_ONE)
        return np.where(_finite(logits_BC), certainty_B, np.float32(-np.inf))

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


class ConsecutiveCriterion(ServedCriterion):
    """Number of consecutive exits, up to the current exit, at which a condition holds."""

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        finite_EB = _finite(logits_EBC)
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
        agrees_EB[1:] &= _finite(logits_EBC[:-1])
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
        return np.where(np.isfinite(gates_B) & _finite(logits_EBC[-1]), certainty_B, np.float32(-np.inf))


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
        finite_B = _finite(logits_BC) & _finite(cosines_BC)
        return np.where(finite_B, np.clip(mean_B, np.float32(0), BELOW_ONE), np.float32(-np.inf))


class Static(ServedCriterion):
    """Number of the exit, whatever the logits are."""

    name = "static"

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        return np.full(logits_EBC.shape[1], len(logits_EBC), dtype=np.float32)


class Calibrated(ServedCriterion):
    """A criterion that reads `logits / T_e` at exit e.

    Args:
        criterion: Description of the inner criterion, `{"name": ..., "settings": {...}}`.
        temperatures_E: Temperature of each exit.
    """

    name = "calibrated"

    def __init__(self, criterion: Mapping[str, object], temperatures_E: Sequence[float]) -> None:
        self.criterion = served_criterion(criterion)
        self.temperatures_E = np.array(temperatures_E, dtype=np.float32)

    def certainty(self, logits_EBC: Floats, gates_EB: Floats | None, cosines_EBC: Floats | None = None) -> Floats:
        """See `ServedCriterion.certainty`."""
        divided_EBC: Floats = logits_EBC / self.temperatures_E[: len(logits_EBC), None, None]
        return self.criterion.certainty(divided_EBC, gates_EB, cosines_EBC)


class Ensembled(ServedCriterion):
    """A criterion that reads, and answers by, the weighted mean of the logits of the exits up to each exit.

    Args:
        criterion: Description of the inner criterion, `{"name": ..., "settings": {...}}`.
        weights_EE: Row m holds the weights of the exits 1 to m.
    """

    name = "ensemble"

    def __init__(self, criterion: Mapping[str, object], weights_EE: Sequence[Sequence[float]]) -> None:
        self.criterion = served_criterion(criterion)
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
                finite_B1 = _finite(logits_BC)[:, None]
                mean_BC = mean_BC + np.where(finite_B1, weight * logits_BC, np.float32(np.nan))
        return mean_BC


#: Name -> class of every criterion with a numpy form.
BUILT_IN: dict[str, type[ServedCriterion]] = {
    kind.name: kind
    for kind in (
        Confidence,
        Entropy,
        Margin,
        Patience,
        PCEE,
        FPABEE,
        LearntGate,
        PrototypeMargin,
        Static,
        Calibrated,
        Ensembled,
    )
}


def served_criterion(description: Mapping[str, object]) -> ServedCriterion:
    """Build the criterion of a description, `{"name": ..., "settings": {...}}`.

    Raises:
        UserError: The criterion has no numpy form, or its settings are damaged.

    >>> served_criterion({"name": "confidence", "settings": {}}).certainty(np.zeros((1, 1, 2), np.float32), None)
    array([0.5], dtype=float32)
    """
    name, settings = description.get("name"), description.get("settings") or {}
    if name not in BUILT_IN:
        raise UserError(
            f"an exit criterion with an ONNX form: {', '.join(BUILT_IN)}",
            f"{name!r}",
            "Sweep other criteria (exit_sweep.criteria), or export without --format onnx.",
        )
    try:
        return BUILT_IN[str(name)](**settings)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise UserError(f"settings of the criterion {name}", f"{error}", "Export the run again.") from error


def log_probabilities(logits: Floats) -> Floats:
    """Return `log softmax(logits)` over the last axis, in float32 with the rounding of torch."""
    with np.errstate(invalid="ignore"):  # logits that are not finite are sorted out by the caller
        # The ufuncs, not the methods `max` and `sum`: several Python calls less for each exit of a single text.
        shifted = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
        logarithms: Floats = shifted - np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))
    return logarithms


def normalised_entropy(log_p: Floats) -> Floats:
    """Return `H(p) / ln C` over the last axis: 1 for the uniform distribution, 0 for a one-hot distribution."""
    with np.errstate(invalid="ignore"):
        entropy: Floats = -(np.exp(log_p) * log_p).sum(axis=-1) / np.float32(math.log(log_p.shape[-1]))
    return entropy


def jensen_shannon(log_p: Floats, log_q: Floats) -> Floats:
    """Return the Jensen-Shannon divergence in bits over the last axis, from logarithms of distributions."""
    with np.errstate(invalid="ignore"):
        log_m = np.logaddexp(log_p, log_q) - np.float32(math.log(2))
        parts = np.exp(log_p) * (log_p - log_m) + np.exp(log_q) * (log_q - log_m)
        divergence: Floats = np.clip(np.float32(0.5) * parts.sum(axis=-1) / np.float32(math.log(2)), 0, 1)
    return divergence


def _finite(logits: Floats) -> NDArray[np.bool_]:
    """Return where all logits of the last axis are finite."""
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(logits), axis=-1)
    return finite
