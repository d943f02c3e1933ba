"""Exit of all samples at the same exit."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion


class Static(Criterion):
    """Static exit, a model cut to k exits: `certainty` is the number of the exit, 1 to E.

    At the threshold k all samples leave at exit k, whatever the logits are; k >= E is full depth. The number counts
    exits, not layers. Static exits are the baseline of every curve.
    """

    name = "static"
    supports_regression: ClassVar[bool] = True

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B): e + 1 at the exit with index e."""
        num_exits, batch = logits_EBC.shape[:2]
        numbers_E = torch.arange(1, num_exits + 1, dtype=torch.float32, device=logits_EBC.device)
        return numbers_E.unsqueeze(1).expand(num_exits, batch)

    def exits_read(self, threshold: float, num_exits: int) -> range:
        """Return the exit at which all samples leave."""
        number = min(int(threshold), num_exits)
        return range(number - 1, number)

    def thresholds(self, num_exits: int) -> list[float]:
        """Return 1 ... E."""
        return [float(number) for number in range(1, num_exits + 1)]

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless `threshold` is a whole number of at least 1."""
        if threshold < 1 or not float(threshold).is_integer():
            raise UserError(
                "the number of an exit, 1 or more",
                f"{threshold}",
                "Set the threshold to 1 or more; 1 is the first exit.",
            )

    def check_reachable(self, threshold: float, num_exits: int) -> None:
        """Raise `UserError` for the number of an exit that the model does not have."""
        if threshold > num_exits:
            raise UserError(
                f"a threshold of {self.name} up to {num_exits} with {num_exits} exits",
                f"{threshold:g}",
                f"Set the threshold to {num_exits}, full depth, or less.",
            )
