"""Weighted sum of a protected term and any number of auxiliary terms, over exits and terms."""

from __future__ import annotations

import math

from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.objectives.base import Objective
from acl_lightning.objectives.exit_weights import Ascending, ExitWeights
from acl_lightning.objectives.schedules.base import ConstantWeight, WeightSchedule
from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.cross_entropy import CrossEntropy
from acl_lightning.outputs import ExitOutputs


class WeightedObjective(Objective):
    r"""Additive total `sum_e w_e CE_e + lambda sum_e v_e T_e`, or convex total with CE scaled by `1 - lambda`.

    The additive total is our default for ACL; the convex total is that of SCL (arXiv 2011.01403). With several
    auxiliary terms T the convex total scales CE by `1 - sum lambda`. With a schedule s, lambda is `s(progress) lambda`,
    also in the factor of the convex total.

    Args:
        auxiliary: Auxiliary terms T beside the protected term. Default (None): the protected term alone.
        weight: Weight lambda >= 0 of the auxiliary terms: a number for all of them, or a list with a number per term.
        convex: Whether to use the convex total.
        protected: Term whose gradient must not be disturbed by the others. Default: `CrossEntropy`.
        exit_weights: Weights w of the exits for the protected term. Default: `Ascending`.
        auxiliary_exit_weights: Weights v of the exits for auxiliary terms. Default: `exit_weights`.
        schedule: Schedule of the weights of the auxiliary terms: a schedule for all of them, or a list with one per
            term. Default (None): constant weights.
        protected_schedule: Schedule of the weight of the protected term. Default (None): a constant weight.
        auxiliary_views: Number of views, from the first, whose samples an auxiliary term sees that needs one view only;
            see `ExitOutputs.views`. Default (None): all views that the objective needs.

    Raises:
        UserError: A weight is negative or not finite, the number of weights or schedules differs from that of the
            terms, a term is repeated, a convex total leaves no weight for the protected term, or there are not so many
            views.
    """

    def __init__(
        self,
        auxiliary: Term | list[Term] | None = None,
        weight: float | list[float] = 1.0,
        convex: bool = False,
        protected: Term | None = None,
        exit_weights: ExitWeights | None = None,
        auxiliary_exit_weights: ExitWeights | None = None,
        schedule: WeightSchedule | list[WeightSchedule] | None = None,
        protected_schedule: WeightSchedule | None = None,
        auxiliary_views: int | None = None,
    ) -> None:
        super().__init__()
        terms = auxiliary if isinstance(auxiliary, list) else [] if auxiliary is None else [auxiliary]
        lambdas = list(weight) if isinstance(weight, list) else [float(weight)] * len(terms)
        schedules = schedule if isinstance(schedule, list) else [schedule or ConstantWeight()] * len(terms)
        _check_lambdas(lambdas, len(terms), convex)
        if len(schedules) != len(terms):
            raise UserError(
                f"{len(terms)} schedules, one per auxiliary term",
                f"{len(schedules)}",
                "Set schedule to a single schedule for all, and ConstantWeight where a weight is constant.",
            )
        self.protected = protected or CrossEntropy()
        self.auxiliary = nn.ModuleList(terms)
        self.lambdas = lambdas
        self.convex = convex
        self.schedules = schedules
        self.protected_schedule = protected_schedule
        self.scheduled = schedule is not None or protected_schedule is not None
        self.exit_weights = exit_weights or Ascending()
        self.auxiliary_exit_weights = auxiliary_exit_weights or self.exit_weights
        self.auxiliary_views = auxiliary_views
        names = [term.name for term in self._all()]
        if len(set(names)) < len(names):
            raise UserError("each term once", f"{names}", "Remove the repeated term from auxiliary.")
        if auxiliary_views is not None and not 1 <= auxiliary_views <= self.num_views:
            raise UserError(
                f"auxiliary_views from 1 to {self.num_views}, the number of views that the terms need",
                f"{auxiliary_views}",
                "Set auxiliary_views to null for all views.",
            )

    def _all(self) -> list[Term]:
        return [self.protected, *(term for term in self.auxiliary if isinstance(term, Term))]

    def check(self, *, classes: bool, num_exits: int) -> None:
        """Check the terms, see `Objective.check`, and the number of exit weights."""
        super().check(classes=classes, num_exits=num_exits)
        for weights in (self.exit_weights, self.auxiliary_exit_weights):
            weights(num_exits)

    def weights(self) -> dict[str, float]:
        """Return the present weight of every term, by its name."""
        lambdas = [w * schedule(self.progress) for w, schedule in zip(self.lambdas, self.schedules, strict=True)]
        factor = 1.0 if self.protected_schedule is None else self.protected_schedule(self.progress)
        protected = factor * (1.0 - sum(lambdas) if self.convex else 1.0)
        return dict(zip((term.name for term in self._all()), [protected, *lambdas], strict=True))

    def scheduled_weights(self) -> dict[str, float]:
        """Return the present weight of every term if there is a schedule, else nothing."""
        return self.weights() if self.scheduled else {}

    def terms(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the weighted scalar terms, the protected one first."""
        weighted = {}
        for term, weight in zip(self._all(), self.weights().values(), strict=True):
            exit_weights = self.exit_weights if term is self.protected else self.auxiliary_exit_weights
            loss_E = term.per_exit(*self._seen(term, outputs, labels_B))
            weighted[term.name] = weight * (loss_E @ exit_weights(outputs.num_exits).to(loss_E))
        return weighted

    def losses_per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> dict[str, Tensor]:
        """Return the unweighted losses (E,) of every term, without the samples of earlier batches."""
        return {term.name: term.within_batch(*self._seen(term, outputs, labels_B)) for term in self._all()}

    def after_batch(self, outputs: ExitOutputs, labels_B: Tensor) -> None:
        """Give the samples that a term sees to the term; see `Term.after_batch`."""
        outputs = outputs.at_least_float32()
        for term in self._all():
            seen = self._seen(term, outputs, labels_B)
            for part in term.modules():
                if isinstance(part, Term):
                    part.after_batch(*seen)

    def _seen(self, term: Term, outputs: ExitOutputs, labels_B: Tensor) -> tuple[ExitOutputs, Tensor]:
        """Return the outputs and labels of the views that a term sees."""
        number = self.auxiliary_views
        needs_all = term is self.protected or any(isinstance(p, Term) and p.num_views > 1 for p in term.modules())
        if number is None or needs_all or outputs.views <= number:
            return outputs, labels_B
        first = outputs.first_views(number)
        return first, labels_B[: first.logits_EBC.shape[1]]


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
