"""The contract of an exit criterion: leave at the first exit whose certainty reaches the threshold."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Criterion(ABC):
    """Certainty of every exit about every sample, from the exit logits alone.

    Causal in E: the certainty at exit m depends on exits <= m only, so the adaptive runtime, which has seen only those,
    decides as the sweep does. One rule serves all criteria: a sample leaves at the first exit with
    `certainty >= threshold`, else at the last.
    """

    name: str

    @abstractmethod
    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Certainties (E, B), float, larger is surer."""

    @abstractmethod
    def thresholds(self, num_exits: int) -> list[float]:
        """The full grid a sweep evaluates, ascending, from "leave at the first exit" to "never leave early"."""

    @abstractmethod
    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` when `threshold` lies outside the criterion's range."""
