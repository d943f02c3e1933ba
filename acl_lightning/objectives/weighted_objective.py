"""One protected term and any number of auxiliary ones, weighted over exits and against each other."""

from __future__ import annotations

import math

from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.objectives.base import Objective, Term
from acl_lightning.objectives.cross_entropy import CrossEntropy
from acl_lightning.objectives.exit_weights import Ascending, ExitWeights
from acl_lightning.outputs import ExitOutputs


class WeightedObjective(Objective):
    r"""`sum_e w_e CE_e + lambda * sum_e v_e term_e` (additive), or with CE scaled by `1 - lambda` (convex).

    Additive is our default for ACL; convex is SCL's total (arXiv 2011.01403). With several auxiliary terms the convex
    total scales CE by `1 - sum lambda`.

    Args:
        auxiliary: contrastive (or other) terms beside the protected one. None: the protected term alone.
        weight: lambda of every auxiliary term, one number for all or one each.
        convex: take the convex total.
        protected: the term whose descent must not be disturbed. Default: cross-entropy.
        exit_weights: w. Default: ascending.
        auxiliary_exit_weights: v. Default: the same as w.

    Raises:
        UserError: a lambda is negative or not finite, their number differs from the terms', or a convex total leaves
            nothing of the protected term.
    """

    def __init__(
        self,
        auxiliary: Term | list[Term] | None = None,
        weight: float | list[float] = 1.0,
        convex: bool = False,
        protected: Term | None = None,
        exit_weights: ExitWeights | None = None,
        auxiliary_exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__()
        terms = auxiliary if isinstance(auxiliary, list) else [] if auxiliary is None else [auxiliary]
        lambdas = list(weight) if isinstance(weight, list) else [float(weight)] * len(terms)
        _check_lambdas(lambdas, len(terms), convex)
        self.protected = protected or CrossEntropy()
        self.auxiliary = nn.ModuleList(terms)
        self.lambdas = lambdas
        self.protected_weight = 1.0 - sum(lambdas) if convex else 1.0
        self.exit_weights = exit_weights or Ascending()
        self.auxiliary_exit_weights = auxiliary_exit_weights or self.exit_weights
        names = [term.name for term in self._all()]
        if len(set(names)) < len(names):
            raise UserError("each auxiliary term once", f"{names}", "Remove the repetition.")

    def _all(self) -> list[Term]:
        return [self.protected, *(term for term in self.auxiliary if isinstance(term, Term))]

    def check(self, *, classes: bool, num_exits: int) -> None:
        """See `Objective.check`; also that there is a weight for every exit."""
        super().check(classes=classes, num_exits=num_exits)
        for weights in (self.exit_weights, self.auxiliary_exit_weights):
            weights(num_exits)

    def terms(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Weighted scalar terms, the protected one first."""
        weighted = {}
        for rank, (name, loss_E) in enumerate(self.losses_per_exit(outputs, labels_B).items()):
            over_exits = (self.auxiliary_exit_weights if rank else self.exit_weights)(outputs.num_exits)
            factor = self.lambdas[rank - 1] if rank else self.protected_weight
            weighted[name] = factor * (loss_E @ over_exits.to(loss_E))
        return weighted

    def losses_per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Unweighted losses (E,) by term."""
        return {term.name: term.per_exit(outputs, labels_B) for term in self._all()}


def _check_lambdas(lambdas: list[float], num_terms: int, convex: bool) -> None:
    if len(lambdas) != num_terms:
        raise UserError(f"{num_terms} weights, one per auxiliary term", f"{len(lambdas)}", "Give one number for all.")
    if any(not math.isfinite(w) or w < 0 for w in lambdas):
        raise UserError("auxiliary weights (lambda) >= 0", f"{lambdas}", "Zero switches a term off.")
    if convex and sum(lambdas) >= 1:
        raise UserError(
            "a convex total with lambda in [0, 1)", f"{sum(lambdas)}", "Lower lambda, or take the additive total."
        )
