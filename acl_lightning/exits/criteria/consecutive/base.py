"""Base class of the criteria that count consecutive exits."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion


class ConsecutiveCriterion(Criterion):
    """Number of consecutive exits, up to this exit, at which a condition holds; the threshold is the patience p.

    `certainty[e] = certainty[e - 1] + 1` where the condition holds, else 0. A sample leaves as soon as its count
    reaches p, so the earliest exit is number `p + first_count - 1`. No sample leaves at an exit whose logits are not
    finite, and the count restarts after it.

    Attributes:
        first_count: Number of the first exit (from 1) at which the condition can hold: 2 where exits are compared.
    """

    first_count: ClassVar[int]

    @abstractmethod
    def holds(self, logits_EBC: Tensor) -> Tensor:
        """Return where the condition holds, bool (E, B), causal in E; ignored where logits are not finite."""

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B): whole numbers from 0, or -inf where a logit is not finite."""
        finite_EB = logits_EBC.isfinite().all(dim=-1)
        holds_EB = self.holds(logits_EBC) & finite_EB
        count_B = torch.zeros(logits_EBC.shape[1], device=logits_EBC.device)
        counts = []
        for holds_B in holds_EB:
            count_B = (count_B + 1) * holds_B
            counts.append(count_B)
        return torch.stack(counts).masked_fill(~finite_EB, -torch.inf)

    def thresholds(self, num_exits: int) -> list[float]:
        """Return 1 up to the patience whose earliest exit is the last exit: "never leave early"."""
        return [float(patience) for patience in range(1, max(num_exits - self.first_count + 1, 1) + 1)]

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless `threshold` is a whole number of at least 1."""
        if threshold < 1 or not float(threshold).is_integer():
            raise UserError(
                "a patience that is a whole number, 1 or more",
                f"{threshold}",
                f"Set the threshold to 1 or more; with 1, {self.name} leaves at exit {self.first_count} or later.",
            )

    def check_reachable(self, threshold: float, num_exits: int) -> None:
        """Warn about a patience that no count can reach: it is full depth."""
        longest = num_exits - self.first_count + 1
        if threshold > longest:
            warnings.warn(
                f"with {num_exits} exits {self.name} counts to {longest} at most: at a patience of {threshold:g} no "
                "sample leaves early",
                stacklevel=2,
            )
