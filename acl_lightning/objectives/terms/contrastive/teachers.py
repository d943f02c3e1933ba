"""Assignments of teacher exits to student exits, for ACL-CL."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from acl_lightning.errors import UserError


class Teacher(nn.Module, ABC):
    """Assignment of a teacher to every exit. The paper leaves the assignment open; the choices here are ours."""

    @abstractmethod
    def forward(self, exits_E: Tensor) -> Tensor:
        """Return the index of the teacher of every exit, (E,), for `exits_E` = 0 .. E - 1.

        An exit whose entry is not deeper than itself has no teacher.
        """

    def after_validation(self, quality_E: Tensor) -> None:
        """Receive the quality of every exit. Only `BestExit` uses it."""

    def check_exits(self, num_exits: int) -> None:
        """Raise `UserError` if a model with `num_exits` exits cannot have this teacher."""


class LastExit(Teacher):
    """The deepest exit is the teacher of all others. The default."""

    def forward(self, exits_E: Tensor) -> Tensor:
        """Return E - 1 for all exits."""
        return torch.full_like(exits_E, len(exits_E) - 1)


class NextExit(Teacher):
    """The teacher of every exit is the next deeper exit."""

    def forward(self, exits_E: Tensor) -> Tensor:
        """Return the next exit; the deepest exit has no teacher."""
        return (exits_E + 1).clamp(max=len(exits_E) - 1)


class FixedExit(Teacher):
    """A fixed exit is the teacher of all shallower exits; deeper exits have no teacher.

    Args:
        exit: Number of the exit, counted from 1, the shallowest.

    Raises:
        UserError: The number is not positive. In `check_exits`: there is no such exit, or no shallower exit.
    """

    def __init__(self, exit: int) -> None:
        super().__init__()
        if exit < 1:
            raise UserError("a teacher exit >= 1", f"{exit}", "Set exit to 2 or more; the shallowest exit is 1.")
        self.exit = exit

    def forward(self, exits_E: Tensor) -> Tensor:
        """Return the fixed exit for all exits."""
        return torch.full_like(exits_E, self.exit - 1)

    def check_exits(self, num_exits: int) -> None:
        """Raise `UserError` unless 1 < exit <= E."""
        if not 1 < self.exit <= num_exits:
            raise UserError(
                f"a teacher exit from 2 to {num_exits}, above at least one student",
                f"{self.exit}",
                f"Set exit to {num_exits}; the shallowest exit is 1.",
            )


class BestExit(Teacher):
    """The exit with the best quality on the selection split of the last validation; the teacher of all shallower exits.

    Before the first validation it is the last exit. Among equally good exits it is the deepest. If the first exit is
    the best, no exit has a teacher until the next validation. The choice is a buffer, so a resumed run continues with
    the same teacher.
    """

    def __init__(self) -> None:
        super().__init__()
        self.best: Tensor
        self.register_buffer("best", torch.tensor(-1))

    def forward(self, exits_E: Tensor) -> Tensor:
        """Return the best exit for all exits."""
        best = self.best.to(exits_E.device)
        return torch.where(best < 0, len(exits_E) - 1, best).expand_as(exits_E)

    def after_validation(self, quality_E: Tensor) -> None:
        """Set the teacher to the exit with the best quality."""
        self.best.copy_(len(quality_E) - 1 - quality_E.flip(0).argmax())
