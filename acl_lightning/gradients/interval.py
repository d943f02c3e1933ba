"""Interval between two decisions of a gradient rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from acl_lightning.errors import UserError


class CheckInterval:
    """Keeps the weights of the last check for the steps until the next check.

    A skipped step is no check: the step after it is checked.

    Args:
        steps: Number of steps from a check to the next. With 1 every step is checked and nothing is kept.

    Attributes:
        products_K: Inner products of the last check; None before the first.
        weights_K: Weights that the rule returned for them; None before the first check.

    Raises:
        UserError: Fewer than 1 step.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise UserError(
                "check_every_n_steps >= 1", f"{steps}", "Set model.check_every_n_steps to 1 to decide at every step."
            )
        self.steps = steps
        self.products_K: Tensor | None = None
        self.weights_K: Tensor | None = None
        self._age = 0

    @property
    def due(self) -> bool:
        """Whether the rule has to decide at this step."""
        return self.weights_K is None or self._age >= self.steps

    def remember(self, products_K: Tensor, weights_K: Tensor) -> None:
        """Keep the decision of this step for the following steps."""
        if self.steps > 1:
            self.products_K, self.weights_K, self._age = products_K, weights_K, 0

    def advance(self) -> None:
        """Count a finished step."""
        self._age += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the decision that currently applies, as plain values."""
        if self.products_K is None or self.weights_K is None:
            return {}
        return {"products": self.products_K.tolist(), "weights": self.weights_K.tolist(), "age": self._age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the decision of a `state_dict`."""
        if state:
            self.products_K, self.weights_K = (
                torch.tensor(state[key], dtype=torch.float64) for key in ("products", "weights")
            )
            self._age = int(state["age"])
