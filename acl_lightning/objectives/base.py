"""The contracts of a loss term and of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from acl_lightning.outputs import ExitOutputs


class Term(nn.Module, ABC):
    """One loss, evaluated at every exit.

    Degenerate batches (one sample, one class, all labels distinct, zero vectors) give a finite value and finite
    gradients: what has no meaning is masked out, never divided by zero.
    """

    #: Key under which the term is logged and telemetered.
    name: str
    #: Whether labels must be classes; False for terms that also serve regression.
    needs_classes: bool = True
    #: Whether labels must be values.
    needs_values: bool = False

    @abstractmethod
    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Loss of every exit, shape (E,), float32 or float64 as the outputs are."""


class Objective(nn.Module, ABC):
    """What training minimises, as named scalar terms. The first term is the protected one.

    Called as `objective(outputs, labels_B) -> {name: scalar}`. The terms are weighted already, so their plain sum is
    the total loss, and their gradients are the rows that a `GradientRule` receives.

    Autocast is switched off inside and half-precision outputs are promoted to float32: similarities divided by a small
    temperature lose their ranking in bfloat16.
    """

    def forward(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Evaluate the weighted terms."""
        with torch.autocast(device_type=labels_B.device.type, enabled=False):
            return self.terms(_at_least_float32(outputs), labels_B)

    @abstractmethod
    def terms(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Weighted scalar terms; the protected one first."""

    @abstractmethod
    def losses_per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Unweighted loss of every term at every exit, each (E,): for telemetry."""

    @property
    def needs_classes(self) -> bool:
        """Whether any term needs class labels, so that regression must be refused."""
        return any(term.needs_classes for term in self.modules() if isinstance(term, Term))

    @property
    def needs_values(self) -> bool:
        """Whether any term needs labels that are values, so that classification must be refused."""
        return any(term.needs_values for term in self.modules() if isinstance(term, Term))


def _at_least_float32(outputs: ExitOutputs) -> ExitOutputs:
    def promote(tensor: Tensor) -> Tensor:
        return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()

    return ExitOutputs(
        promote(outputs.embeddings_EBD), promote(outputs.logits_EBC), promote(outputs.label_embeddings_ECD)
    )
