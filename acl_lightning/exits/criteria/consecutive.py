"""What the criteria that count consecutive exits have in common."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion


class ConsecutiveCriterion(Criterion):
    """The number of consecutive exits, ending here, at which something holds; the threshold is the patience p.

    `certainty[e] = certainty[e - 1] + 1` where it holds, else 0. A sample leaves as soon as its count reaches p, so
    that the earliest exit is number `p + first_count - 1`. An exit whose logits are not finite is never left at, and
    the count begins anew after it.

    Attributes:
        first_count: number of the first exit (from 1) at which something can hold: 2 where exits are compared.
    """

    first_count: ClassVar[int]

    @abstractmethod
    def holds(self, logits_EBC: Tensor) -> Tensor:
        """Whether each exit counts, bool (E, B), causal in E. What it says of logits that are not finite is ignored."""

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Certainties (E, B): whole numbers from 0, or -inf where a logit is not finite."""
        finite_EB = logits_EBC.isfinite().all(dim=-1)
        holds_EB = self.holds(logits_EBC) & finite_EB
        count_B = torch.zeros(logits_EBC.shape[1], device=logits_EBC.device)
        counts = []
        for holds_B in holds_EB:
            count_B = (count_B + 1) * holds_B
            counts.append(count_B)
        return torch.stack(counts).masked_fill(~finite_EB, -torch.inf)

    def thresholds(self, num_exits: int) -> list[float]:
        """1 up to the patience whose earliest exit is the last one: "never leave early"."""
        return [float(patience) for patience in range(1, max(num_exits - self.first_count + 1, 1) + 1)]

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless `threshold` is a whole number of at least 1."""
        if threshold < 1 or not float(threshold).is_integer():
            raise UserError(
                "a patience that is a whole number, 1 or more",
                f"{threshold}",
                f"With patience 1 {self.name} leaves at exit {self.first_count} at the earliest.",
            )

    def check_reachable(self, threshold: float, num_exits: int) -> None:
        """Warn of a patience that no count can reach: it is full depth."""
        longest = num_exits - self.first_count + 1
        if threshold > longest:
            warnings.warn(
                f"with {num_exits} exits {self.name} counts to {longest} at most: at a patience of {threshold:g} no "
                "sample leaves early",
                stacklevel=2,
            )
