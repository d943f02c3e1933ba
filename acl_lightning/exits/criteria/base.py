"""Base class of the exit criteria, and the rule by which samples leave."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError


class Criterion(ABC):
    """Certainty of every exit for every sample, computed from exit logits or from the logits of a learnt gate.

    A sample leaves at the first exit with `certainty >= threshold`, else at the last exit. The certainty at exit m
    depends on the exits up to m only, so that the adaptive runtime decides as the sweep does.

    Attributes:
        name: Name in tables, files and figures.
        supports_regression: Whether `certainty` accepts C = 1, where there is no distribution over classes.
        reads_cosines: Whether `inputs` needs the cosines of the samples with the label embeddings.
    """

    name: ClassVar[str]
    supports_regression: ClassVar[bool] = False
    reads_cosines: ClassVar[bool] = False

    def __eq__(self, other: object) -> bool:
        """Whether the other criterion has the same class and the same constructor arguments."""
        return type(self) is type(other) and _public(self) == _public(other)

    def __hash__(self) -> int:
        """Hash of the class."""
        return hash(type(self))

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor by name, without those that are None."""
        return {name: value for name, value in _public(self).items() if value is not None}

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Return the criteria that a sweep measures: this criterion, or one criterion per value of an open setting.

        Args:
            num_classes: Number of classes C; 1 for a regression.
        """
        return [self]

    def inputs(self, logits_EBC: Tensor, gates_EB: Tensor | None, cosines_EBC: Tensor | None = None) -> Tensor:
        """Return the tensor that `certainty` reads: the exit logits, or what a criterion computes from its arguments.

        Args:
            logits_EBC: Exit logits.
            gates_EB: Logits of the learnt gate; None for a model without a gate.
            cosines_EBC: Cosines of the samples with the label embeddings; None where they are not known. They are
                computed for criteria with `reads_cosines`.
        """
        return logits_EBC

    def answers(self, logits_EBC: Tensor) -> Tensor:
        """Return the logits (E, B, C) by which samples that leave at each exit are answered: the exit's logits."""
        return logits_EBC

    def exits_read(self, threshold: float, num_exits: int) -> range:
        """Return the indices of the exits that the runtime must evaluate at this threshold.

        No sample leaves before the first of them, and all samples have left after the last. The runtime passes zeros as
        the logits of the exits before the first; `certainty` must not depend on them.
        """
        return range(num_exits)

    @abstractmethod
    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B), float32, never NaN; -inf where a sample must not leave."""

    @abstractmethod
    def thresholds(self, num_exits: int) -> list[float]:
        """Return the full grid of a sweep, ascending, from the earliest possible exit to "never leave early"."""

    @abstractmethod
    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` when `threshold` lies outside the criterion's range."""

    def check_grid(self, thresholds: Sequence[float]) -> None:
        """Raise `UserError` unless there are thresholds, all in range and strictly ascending."""
        if not thresholds:
            raise UserError(
                f"thresholds of {self.name}", "an empty list", "Remove the entry: the criterion has its own grid."
            )
        for threshold in thresholds:
            self.check_threshold(threshold)
        if any(low >= high for low, high in itertools.pairwise(thresholds)):
            raise UserError(
                f"thresholds of {self.name} that ascend", f"{list(thresholds)}", "Sort them and remove repetitions."
            )

    def check_reachable(self, threshold: float, num_exits: int) -> None:  # noqa: B027 - a hook
        """Warn or raise `UserError` if a model with so few exits cannot reach `threshold`."""


def _public(criterion: Criterion) -> dict[str, Any]:
    return {name: value for name, value in vars(criterion).items() if not name.startswith("_")}


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
