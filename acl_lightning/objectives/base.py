"""The contracts of a loss term and of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from acl_lightning.errors import UserError
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
    #: Exits that the model must have for the term to mean something: 2 where one exit teaches another.
    min_exits: int = 1
    #: Batch size below which the term, or a part of it, is always zero. A smaller last batch of an epoch is no error.
    min_samples: int = 1
    #: Whether it is the term that teaches the learnt gate.
    trains_gate: bool = False

    @abstractmethod
    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Loss of every exit, shape (E,), float32 or float64 as the outputs are."""

    def check_exits(self, num_exits: int) -> None:
        """Raise `UserError` when the term has no meaning in a model of `num_exits` exits."""
        if num_exits < self.min_exits:
            raise UserError(
                f"at least {self.min_exits} exits for {self.name}",
                f"{num_exits}",
                "Set model.encoder.exits to several layers, or null for one at every layer.",
            )

    def prepare(self, class_counts_C: Tensor) -> None:
        """Take note, before training, of how many training samples every class has. Most terms have no use for it."""

    def after_validation(self, quality_E: Tensor) -> None:
        """Take note of every exit's quality on the selection half of the validation set. Most terms do not."""


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
            return self.terms(outputs.at_least_float32(), labels_B)

    @abstractmethod
    def terms(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Weighted scalar terms; the protected one first."""

    @abstractmethod
    def losses_per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Unweighted loss of every term at every exit, each (E,): for telemetry. Promote half precision beforehand."""

    def all_terms(self) -> list[Term]:
        """Every term in it, however deep."""
        return [module for module in self.modules() if isinstance(module, Term)]

    def check(self, *, classes: bool, num_exits: int) -> None:
        """Compare the terms with the task and the model.

        Args:
            classes: whether the labels are classes; else they are values.
            num_exits: E.

        Raises:
            UserError: a term for classes on a regression, one for values on a classification, or one that has no
                meaning with these exits.
        """
        terms = self.all_terms()
        if classes and any(term.needs_values for term in terms):
            raise UserError(
                "an objective for classes (this task has them)",
                "an objective that compares values",
                "Take the cross-entropy: set model.objective.init_args.protected to null.",
            )
        if not classes and any(term.needs_classes for term in terms):
            raise UserError(
                "an objective for regression (this task has values, not classes)",
                "an objective that compares classes",
                "Take the squared error alone: --config conf/objective/regression.yaml.",
            )
        for term in terms:
            term.check_exits(num_exits)

    def check_gate(self, *, learnt_gate: bool) -> None:
        """Raise `UserError` when a learnt gate would never be trained, or is to be trained where there is none."""
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
                "one without",
                "Set model.encoder.learnt_gate to true.",
            )

    def check_batch_size(self, batch_size: int) -> None:
        """Raise `UserError` when every batch is too small for some term; see `Term.min_samples`."""
        for term in self.all_terms():
            if batch_size < term.min_samples:
                found = f"{batch_size}"
                raise UserError(
                    f"a batch of at least {term.min_samples} samples for {term.name}", found, "Raise data.batch_size."
                )
