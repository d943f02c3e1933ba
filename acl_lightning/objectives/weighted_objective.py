"""Weighted sum of a protected term and any number of auxiliary terms, over exits and terms."""

from __future__ import annotations

import math

from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.objectives.base import Objective
from acl_lightning.objectives.exit_weights import Ascending, ExitWeights
from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.cross_entropy import CrossEntropy
from acl_lightning.outputs import ExitOutputs


class WeightedObjective(Objective):
    r"""Additive total `sum_e w_e CE_e + lambda sum_e v_e T_e`, or convex total with CE scaled by `1 - lambda`.

    The additive total is our default for ACL; the convex total is that of SCL (arXiv 2011.01403). With several
    auxiliary terms T the convex total scales CE by `1 - sum lambda`.

    Args:
        auxiliary: Auxiliary terms T beside the protected term. Default (None): the protected term alone.
        weight: Weight lambda >= 0 of the auxiliary terms: a number for all of them, or a list with a number per term.
        convex: Whether to use the convex total.
        protected: Term whose gradient must not be disturbed by the others. Default: `CrossEntropy`.
        exit_weights: Weights w of the exits for the protected term. Default: `Ascending`.
        auxiliary_exit_weights: Weights v of the exits for auxiliary terms. Default: `exit_weights`.

    Raises:
        UserError: A weight is negative or not finite, the number of weights differs from that of the terms, a term is
            repeated, or a convex total leaves no weight for the protected term.
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
            raise UserError("each term once", f"{names}", "Remove the repeated term from auxiliary.")

    def _all(self) -> list[Term]:
        return [self.protected, *(term for term in self.auxiliary if isinstance(term, Term))]

    def check(self, *, classes: bool, num_exits: int) -> None:
        """Check the terms, see `Objective.check`, and the number of exit weights."""
        super().check(classes=classes, num_exits=num_exits)
        for weights in (self.exit_weights, self.auxiliary_exit_weights):
            weights(num_exits)

    def terms(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the weighted scalar terms, the protected one first."""
        weighted = {}
        for rank, (name, loss_E) in enumerate(self.losses_per_exit(outputs, labels_B).items()):
            over_exits = (self.auxiliary_exit_weights if rank else self.exit_weights)(outputs.num_exits)
            factor = self.lambdas[rank - 1] if rank else self.protected_weight
            weighted[name] = factor * (loss_E @ over_exits.to(loss_E))
        return weighted

    def losses_per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the unweighted losses (E,) of every term."""
        return {term.name: term.per_exit(outputs, labels_B) for term in self._all()}


def _check_lambdas(lambdas: list[float], num_terms: int, convex: bool) -> None:
    if len(lambdas) != num_terms:
        raise UserError(
            f"{num_terms} weights, one per auxiliary term", f"{len(lambdas)}", "Set weight to a single number for all."
        )
    if any(not math.isfinite(w) or w < 0 for w in lambdas):
        raise UserError("auxiliary weights (lambda) >= 0", f"{lambdas}", "Set weight to 0 to switch a term off.")
    if convex and sum(lambdas) >= 1:
        raise UserError(
            "a convex total with lambda in [0, 1)", f"{sum(lambdas)}", "Set weight to less than 1, or convex to false."
        )
