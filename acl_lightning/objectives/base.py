"""Base class of objectives."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.objectives.terms.base import Term
from acl_lightning.outputs import ExitOutputs


class Objective(nn.Module, ABC):
    """Training loss as named scalar terms, the first of which is protected.

    Called as `objective(outputs, labels_B) -> {name: scalar}`. The terms include their weights: their plain sum is the
    total loss, and their gradients are the rows that a `GradientRule` receives.

    The terms are evaluated without autocast, and half-precision outputs are promoted to float32: similarities divided
    by a small temperature lose their ranking in bfloat16.

    Attributes:
        progress: Share of the optimiser steps of the run that are done, in [0, 1], which the training sets before every
            batch. Schedules of weights depend on it.
    """

    progress: float = 0.0

    def forward(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms."""
        with torch.autocast(device_type=labels_B.device.type, enabled=False):
            return self.terms(outputs.at_least_float32(), labels_B)

    @abstractmethod
    def terms(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the weighted scalar terms, the protected one first."""

    @abstractmethod
    def losses_per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the unweighted loss of every term at every exit, (E,) each, for telemetry. No half precision.

        Samples of earlier batches are left out: after a batch the memory queue holds its samples already.
        """

    @property
    def num_views(self) -> int:
        """Number of views of every sample that the terms need; see `ExitOutputs.views`."""
        return max((term.num_views for term in self.all_terms()), default=1)

    @property
    def keeps_samples(self) -> bool:
        """Whether a term compares with samples of earlier batches, and needs `after_batch`."""
        return any(term.keeps_samples for term in self.all_terms())

    def scheduled_weights(self) -> dict[str, float]:
        """Return the present weights of the terms by name, for logs; nothing if no weight changes."""
        return {}

    def after_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> None:
        """Give a batch whose gradients are computed to the terms; see `Term.after_batch`.

        Args:
            outputs: Detached outputs of all processes.
            labels_B: Labels of their samples.
        """
        for term in self.all_terms():
            term.after_batch(outputs.at_least_float32(), labels_B)

    def all_terms(self) -> list[Term]:
        """Return all terms of the objective, including nested ones."""
        return [module for module in self.modules() if isinstance(module, Term)]

    def check(self, *, classes: bool, num_exits: int) -> None:
        """Check that the terms fit the task and the model.

        Args:
            classes: Whether the labels are classes; otherwise they are numbers.
            num_exits: Number of exits E.

        Raises:
            UserError: A term for classes on a regression task, a term for numbers on a classification task, or a term
                that is not defined for so few exits.
        """
        terms = self.all_terms()
        if classes and any(term.needs_values for term in terms):
            raise UserError(
                "an objective for classes (the labels of this task)",
                "an objective that compares numbers",
                "Set model.objective to CrossEntropyObjective: --config conf/objective/ce.yaml.",
            )
        if not classes and any(term.needs_classes for term in terms):
            raise UserError(
                "an objective for regression (the labels of this task are numbers, not classes)",
                "an objective that compares classes",
                "Set model.objective to RegressionObjective: --config conf/objective/regression.yaml.",
            )
        for term in terms:
            term.check_exits(num_exits)

    def check_gate(self, *, learnt_gate: bool) -> None:
        """Raise `UserError` if a learnt gate would not be trained, or if a term trains a gate that does not exist."""
        trains = any(term.trains_gate for term in self.all_terms())
        if learnt_gate and not trains:
            raise UserError(
                "a term that trains the learnt gate",
                "none",
                "Add GateCorrectness (--config conf/objective/learnt_gate.yaml), or set model.encoder.learnt_gate to "
                "false.",
            )
        if trains and not learnt_gate:
            raise UserError(
                "a model with a learnt gate for gate_correctness",
                "a model without",
                "Set model.encoder.learnt_gate to true.",
            )

    def check_batch_size(self, batch_size: int) -> None:
        """Raise `UserError` if every batch is too small for a term; see `Term.min_samples`."""
        for term in self.all_terms():
            if batch_size < term.min_samples:
                raise UserError(
                    f"a batch of at least {term.min_samples} samples for {term.name}",
                    f"{batch_size}",
                    f"Set data.batch_size to {term.min_samples} or more.",
                )
