"""The contract of an exit criterion: leave at the first exit whose certainty reaches the threshold."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError


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

    @property
    def settings(self) -> dict[str, Any]:
        """The constructor's arguments by name, those left open (None) omitted: what builds this criterion again."""
        public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return {name: value for name, value in public.items() if value is not None}

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """The criteria that a sweep tries for this one: itself, or a family's members where a setting was left open.

        Args:
            num_classes: C; 1 for a regression.
        """
        return [self]

    def evidence(self, logits_EBC: Tensor, gates_EB: Tensor | None) -> Tensor:
        """What `certainty` reads: the exit logits, for every criterion but the learnt gate."""
        return logits_EBC

    def exits_read(self, threshold: float, num_exits: int) -> range:
        """Indices of the exits that matter: nobody leaves by an earlier one, everybody has left by the last.

        Nor does `certainty` look at an earlier one: the runtime does not evaluate it, and hands zeros as its logits.
        """
        return range(num_exits)

    @abstractmethod
    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Certainties (E, B), float32 and never NaN, larger is surer; -inf where the exit must not be left at."""

    @abstractmethod
    def thresholds(self, num_exits: int) -> list[float]:
        """The full grid a sweep evaluates, ascending, from the earliest possible exit to "never leave early"."""

    @abstractmethod
    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` when `threshold` lies outside the criterion's range."""

    def check_grid(self, thresholds: Sequence[float]) -> None:
        """Raise `UserError` unless there are thresholds, each in range, each greater than the one before."""
        if not thresholds:
            raise UserError(f"thresholds of {self.name}", "an empty list", "Remove it: the criterion has a full grid.")
        for threshold in thresholds:
            self.check_threshold(threshold)
        if any(low >= high for low, high in itertools.pairwise(thresholds)):
            raise UserError(f"thresholds of {self.name} that ascend", f"{list(thresholds)}", "Sort them, each once.")

    def check_reachable(self, threshold: float, num_exits: int) -> None:  # noqa: B027 - a hook
        """Warn or refuse when so few exits cannot reach `threshold`. A certainty that any exit may have: silence."""


#: Size in bytes of the largest (T, E, B) comparison that `exit_index` makes at once.
CHUNK = 2**26


def exit_index(certainty_EB: Tensor, thresholds_T: Tensor) -> Tensor:
    """Return the index (T, B) of the first exit with certainty >= threshold, else of the last exit.

    A certainty that is NaN reaches no threshold.
    """
    num_exits, batch = certainty_EB.shape
    thresholds_T = thresholds_T.to(certainty_EB)
    chunks = []
    for chunk_T in torch.split(thresholds_T, max(1, CHUNK // max(1, num_exits * batch))):
        leaves_TEB = certainty_EB >= chunk_T[:, None, None]
        leaves_TEB[:, -1] = True
        chunks.append(leaves_TEB.to(torch.uint8).argmax(dim=1))  # index of the first 1
    return torch.cat(chunks)
