"""How much each exit counts in a loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from acl_lightning.errors import UserError


class ExitWeights(ABC):
    """Non-negative weights over the exits, summing to one."""

    @abstractmethod
    def __call__(self, num_exits: int) -> Tensor:
        """Weights (E,), float32."""


class Ascending(ExitWeights):
    """`j / (1 + 2 + ... + E)` for exit j: deeper exits count more. Source: PABEE (Zhou et al., NeurIPS 2020)."""

    def __call__(self, num_exits: int) -> Tensor:
        """Weights (E,)."""
        ranks = torch.arange(1, num_exits + 1, dtype=torch.float32)
        return ranks / ranks.sum()


class Uniform(ExitWeights):
    """`1 / E` for every exit."""

    def __call__(self, num_exits: int) -> Tensor:
        """Weights (E,)."""
        return torch.full((num_exits,), 1.0 / num_exits)


class Listed(ExitWeights):
    """Weights as listed, shallowest exit first, divided by their sum.

    Args:
        weights: one finite number >= 0 per exit, not all zero.

    Raises:
        UserError: a weight is negative or not finite, all are zero, or their number differs from the exits'.
    """

    def __init__(self, weights: list[float]) -> None:
        if not weights or any(not math.isfinite(w) or w < 0 for w in weights) or sum(weights) <= 0:
            raise UserError("exit weights >= 0, at least one positive", f"{weights}", "Give one number per exit.")
        self.weights = torch.tensor(weights, dtype=torch.float32) / sum(weights)

    def __call__(self, num_exits: int) -> Tensor:
        """Weights (E,)."""
        if len(self.weights) != num_exits:
            raise UserError(f"{num_exits} exit weights, one per exit", f"{len(self.weights)}", "Give one per exit.")
        return self.weights
