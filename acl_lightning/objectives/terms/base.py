"""Base class of loss terms."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.outputs import ExitOutputs


class Term(nn.Module, ABC):
    """Loss that is evaluated at every exit.

    Degenerate batches (a single sample, a single class, all labels distinct, zero vectors) give a finite value and
    finite gradients: undefined parts are masked out instead of divided by zero.
    """

    #: Key of the term in logs and records.
    name: str
    #: Whether labels must be classes; False for terms that also support regression.
    needs_classes: bool = True
    #: Whether labels must be numbers.
    needs_values: bool = False
    #: Smallest number of exits for which the term is defined: 2 if an exit is the teacher of another.
    min_exits: int = 1
    #: Batch size below which the term, or a part of it, is always zero. A smaller last batch of an epoch is no error.
    min_samples: int = 1
    #: Number of views (forward passes with different dropout) that the term compares; see `ExitOutputs.views`.
    num_views: int = 1
    #: Whether the term trains the learnt gate.
    trains_gate: bool = False
    #: Whether the term compares with samples of earlier batches, which `after_batch` gives to it.
    keeps_samples: bool = False

    @abstractmethod
    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), with the dtype of the outputs (float32 or float64)."""

    def within_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), without the samples of earlier batches: for telemetry."""
        return self.per_exit(outputs, labels_B)

    def check_exits(self, num_exits: int) -> None:
        """Raise `UserError` if the term is not defined for a model with `num_exits` exits."""
        if num_exits < self.min_exits:
            raise UserError(
                f"at least {self.min_exits} exits for {self.name}",
                f"{num_exits}",
                "Set model.encoder.exits to several layers, or to null for an exit at every layer.",
            )

    def prepare(self, class_counts_C: Tensor) -> None:
        """Receive the number of training samples of every class, before training. Most terms ignore it."""

    def after_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> None:
        """Receive the detached outputs of a batch whose gradients are computed. Terms with a memory queue keep them."""

    def begin_stage(self) -> None:
        """Forget earlier batches: the training continues with other exits. Most terms ignore it."""

    def after_validation(self, quality_E: Tensor) -> None:
        """Receive the quality of every exit on the selection split of the validation set. Most terms ignore it."""
