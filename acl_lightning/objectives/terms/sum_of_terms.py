"""Weighted sum of terms as a single term, so that a gradient rule treats them as one."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.objectives.terms.base import Term
from acl_lightning.outputs import ExitOutputs


class SumOfTerms(Term):
    """`sum_i w_i T_i` at every exit, with one gradient.

    As the protected term it protects all its parts: no rule discards the distillation of
    `SumOfTerms([CrossEntropy(), SelfDistillation()], [0.1, 0.9])`. Its name joins those of the parts.

    Args:
        terms: At least one term, each name once.
        weights: A weight >= 0 per term, not all zero.

    Raises:
        UserError: No term, a repeated term, a wrong number of weights, or a weight out of range.
    """

    def __init__(self, terms: list[Term], weights: list[float]) -> None:
        super().__init__()
        names = [term.name for term in terms]
        if not names or len(set(names)) < len(names):
            raise UserError("terms with different names, at least one", f"{names}", "Set terms to each term once.")
        if len(weights) != len(terms):
            raise UserError(
                f"{len(terms)} weights, one per term", f"{len(weights)}", "Set weights to a number for each term."
            )
        if any(not math.isfinite(w) or w < 0 for w in weights) or sum(weights) <= 0:
            raise UserError(
                "weights >= 0, at least one positive", f"{weights}", "Set weights to a positive number for each term."
            )
        self.parts = nn.ModuleList(terms)
        self.weights = list(weights)
        self.name = "_and_".join(names)
        self.needs_classes = any(term.needs_classes for term in terms)
        self.needs_values = any(term.needs_values for term in terms)

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the sum of the losses of every exit, (E,)."""
        return self._sum(lambda term: term.per_exit(outputs, labels_B))

    def within_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the sum of the losses of every exit, (E,), without the samples of earlier batches."""
        return self._sum(lambda term: term.within_batch(outputs, labels_B))

    def _sum(self, loss: Callable[[Term], Tensor]) -> Tensor:
        parts = (part for part in self.parts if isinstance(part, Term))
        first, *others = (weight * loss(term) for weight, term in zip(self.weights, parts, strict=True))
        return sum(others, start=first)
