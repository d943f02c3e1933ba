"""Which exit teaches which, in ACL-CL."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from acl_lightning.errors import UserError


class Teacher(nn.Module, ABC):
    """The teacher of every exit. The paper does not say which exit teaches; these are our switches."""

    @abstractmethod
    def forward(self, exits_E: Tensor) -> Tensor:
        """Teachers (E,) of the exits `exits_E` = 0 .. E - 1, counted alike.

        An exit has a teacher only where its entry is deeper than itself.
        """

    def after_validation(self, quality_E: Tensor) -> None:
        """Take note of every exit's quality. Only a teacher that is chosen by it does."""

    def check_exits(self, num_exits: int) -> None:
        """Raise `UserError` when a model of `num_exits` exits cannot have this teacher."""


class LastExit(Teacher):
    """The deepest exit teaches all others: the default."""

    def forward(self, exits_E: Tensor) -> Tensor:
        """E - 1 for all."""
        return torch.full_like(exits_E, len(exits_E) - 1)


class NextExit(Teacher):
    """Every exit is taught by the next deeper one."""

    def forward(self, exits_E: Tensor) -> Tensor:
        """E + 1; the deepest exit has none."""
        return (exits_E + 1).clamp(max=len(exits_E) - 1)


class FixedExit(Teacher):
    """One exit teaches those below it; the deeper ones have no teacher.

    Args:
        exit: number of the exit, the shallowest is 1.

    Raises:
        UserError: the number is not positive; in `check_exits`, it is beyond the last exit or has no exit below it.
    """

    def __init__(self, exit: int) -> None:
        super().__init__()
        if exit < 1:
            raise UserError("a teacher exit >= 1", f"{exit}", "Exits are counted from 1, the shallowest.")
        self.exit = exit

    def forward(self, exits_E: Tensor) -> Tensor:
        """The given exit for all."""
        return torch.full_like(exits_E, self.exit - 1)

    def check_exits(self, num_exits: int) -> None:
        """Raise `UserError` unless 1 < exit <= E."""
        if not 1 < self.exit <= num_exits:
            raise UserError(
                f"a teacher exit from 2 to {num_exits}, above at least one student",
                f"{self.exit}",
                "Exits are counted from 1, the shallowest.",
            )


class BestExit(Teacher):
    """The exit that was best on the selection half of the last validation teaches those below it.

    Before the first validation: the last exit. Of equally good exits the deepest. Where the first exit is best nobody
    is taught until the next validation. The choice is a buffer, so a resumed run goes on with the same teacher.
    """

    def __init__(self) -> None:
        super().__init__()
        self.best: Tensor
        self.register_buffer("best", torch.tensor(-1))

    def forward(self, exits_E: Tensor) -> Tensor:
        """The best exit for all."""
        best = self.best.to(exits_E.device)
        return torch.where(best < 0, len(exits_E) - 1, best).expand_as(exits_E)

    def after_validation(self, quality_E: Tensor) -> None:
        """Choose."""
        self.best.copy_(len(quality_E) - 1 - quality_E.flip(0).argmax())
