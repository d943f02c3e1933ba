"""The contract of an exit criterion: leave at the first exit whose certainty reaches the threshold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor


class Criterion(ABC):
    """Certainty of every exit about every sample, from the exit logits (the learnt gate: from the gate's).

    Causal in E: the certainty at exit m depends on exits <= m only, so the adaptive runtime, which has seen only those,
    decides as the sweep does. One rule serves all criteria: a sample leaves at the first exit with
    `certainty >= threshold`, else at the last.

    Attributes:
        name: the word for it in tables, files and figures.
        supports_regression: whether `certainty` accepts C = 1, where there is no distribution over classes.
    """

    name: ClassVar[str]
    supports_regression: ClassVar[bool] = False

    def evidence(self, logits_EBC: Tensor, gates_EB: Tensor | None) -> Tensor:
        """What `certainty` reads: the exit logits, for every criterion but the learnt gate."""
        return logits_EBC

    @abstractmethod
    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Certainties (E, B), float32 and never NaN, larger is surer; -inf where the exit must not be left at."""

    @abstractmethod
    def thresholds(self, num_exits: int) -> list[float]:
        """The full grid a sweep evaluates, ascending, from the earliest possible exit to "never leave early"."""

    @abstractmethod
    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` when `threshold` lies outside the criterion's range."""
