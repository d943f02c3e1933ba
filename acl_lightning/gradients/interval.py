"""A rule's decision, and for how many steps it holds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from acl_lightning.errors import UserError


class CheckInterval:
    """Remembers the weights of the last check for the steps until the next.

    A step that is skipped is no check: the next one is due again.

    Args:
        steps: from one check to the next; 1: every step is one, and nothing is remembered.

    Attributes:
        products_K: of the last check; None before the first.
        weights_K: what the rule answered to them.

    Raises:
        UserError: less than one step.
    """

    def __init__(self, steps: int) -> None:
        if steps < 1:
            raise UserError("check_every_n_steps >= 1", f"{steps}", "1 lets the rule decide at every step.")
        self.steps = steps
        self.products_K: Tensor | None = None
        self.weights_K: Tensor | None = None
        self._age = 0

    @property
    def due(self) -> bool:
        """Whether the rule must decide at this step."""
        return self.weights_K is None or self._age >= self.steps

    def remember(self, products_K: Tensor, weights_K: Tensor) -> None:
        """Keep the decision of this step."""
        if self.steps > 1:
            self.products_K, self.weights_K, self._age = products_K, weights_K, 0

    def advance(self) -> None:
        """A step is over."""
        self._age += 1

    def state_dict(self) -> dict[str, Any]:
        """The decision in force, as plain values."""
        if self.products_K is None or self.weights_K is None:
            return {}
        return {"products": self.products_K.tolist(), "weights": self.weights_K.tolist(), "age": self._age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a `state_dict` was taken."""
        if state:
            self.products_K, self.weights_K = (
                torch.tensor(state[key], dtype=torch.float64) for key in ("products", "weights")
            )
            self._age = int(state["age"])
