"""Weights of the exits in a loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from acl_lightning.errors import UserError


class ExitWeights(ABC):
    """Non-negative weights of the exits with sum 1."""

    @abstractmethod
    def __call__(self, num_exits: int) -> Tensor:
        """Return the weights (E,), float32."""


class Ascending(ExitWeights):
    """Weight `j / (1 + 2 + ... + E)` for exit j: larger for deeper exits. Source: PABEE (Zhou et al., NeurIPS 2020)."""

    def __call__(self, num_exits: int) -> Tensor:
        """Return the weights (E,)."""
        ranks = torch.arange(1, num_exits + 1, dtype=torch.float32)
        return ranks / ranks.sum()


class Uniform(ExitWeights):
    """Weight `1 / E` for every exit."""

    def __call__(self, num_exits: int) -> Tensor:
        """Return the weights (E,)."""
        return torch.full((num_exits,), 1.0 / num_exits)


class Listed(ExitWeights):
    """Listed weights, divided by their sum.

    Args:
        weights: A finite number >= 0 per exit, shallowest exit first, not all zero.

    Raises:
        UserError: A weight is negative or not finite, or all are zero. When called: the number of weights differs from
            that of the exits.
    """

    def __init__(self, weights: list[float]) -> None:
        if not weights or any(not math.isfinite(w) or w < 0 for w in weights) or sum(weights) <= 0:
            raise UserError(
                "exit weights >= 0, at least one positive", f"{weights}", "Set weights to a number per exit."
            )
        self.weights = torch.tensor(weights, dtype=torch.float32) / sum(weights)

    def __call__(self, num_exits: int) -> Tensor:
        """Return the weights (E,)."""
        if len(self.weights) != num_exits:
            raise UserError(
                f"{num_exits} exit weights, one per exit", f"{len(self.weights)}", "Set weights to a number per exit."
            )
        return self.weights
