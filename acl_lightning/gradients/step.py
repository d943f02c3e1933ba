"""One step by hand: terms -> gradients per term -> rule -> `.grad`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acl_lightning.errors import UserError
from acl_lightning.gradients.base import GradientRule
from acl_lightning.gradients.collect import AutogradRows, Collector, Row, mean_over_ranks
from acl_lightning.gradients.interval import CheckInterval
from acl_lightning.gradients.products import combine, products_by_parameter
from acl_lightning.gradients.proxy import proxy_rows, weighted_total
from acl_lightning.gradients.scopes import AllParameters, Partition, Proxy, Scope


@dataclass(frozen=True)
class StepReport:
    """What one optimiser step decided.

    Attributes:
        products_K: `<g_0, g_k>` over the shared parameters, summed over the groups of a `Partition`; at a `Proxy`'s
            tensors, the mean over the micro-batches of theirs, weighted by samples. At a step between two checks, those
            of the last check.
            A rule that needs no separate gradients has one: the squared norm of the whole gradient.
        discarded: whether some auxiliary term was left out entirely, in some group or some micro-batch.
        skipped: whether the protected gradient was not finite, so that nothing is learnt. Where the terms share one
            backward pass (under a `Proxy`, between checks, or without separate gradients), the total's counts as well;
            under a loss scaler, any.
    """

    products_K: Tensor
    discarded: bool
    skipped: bool


class GradientStep:
    """Accumulates gradients over micro-batches; the rule decides once per check, and `.grad` is written once.

    The gradient of a term is the mean of its gradients at the micro-batches, weighted by their numbers of samples:
    `sum_i n_i g_i / sum_i n_i`. For a term that is a mean over samples (cross-entropy without class weights, squared
    error) this is the gradient of one batch with all samples, also where the last micro-batch is smaller. A contrastive
    term compares the samples of its micro-batch only, so its weighted mean is not the loss of the whole batch.

    Under a `Partition` every term has a backward pass of its own, and the rule decides at the end of the step, group by
    group. Under a `Proxy`, between two checks, and for a rule that needs no separate gradients, the weights are known
    before the backward pass, which then is one, of the weighted sum of the terms.

    Args:
        rule: combines the gradients.
        named_parameters: what is trained; those that require no gradient are left out.
        scope: over which gradients the rule decides. Default: all parameters as one vector.
        collector: how gradients are obtained. Default: `AutogradRows`.
        check_every_n_steps: the rule decides at every n-th step; its weights hold for those in between.
        average_ranks: average over the processes before deciding, so that all of them decide alike.
        scaled: a loss scaler is at work. It must see every overflow, so where there is one nothing is left out.

    Attributes:
        observers: called at the end of every step with the rows that the rule compared, before they are combined: the
            accumulated ones under a `Partition`, those of the last micro-batch under a `Proxy`. One row, the total's,
            at a step that compared none.

    Raises:
        UserError: nothing is trained, the scope selects nothing, or an interval that is less than one, or more than
            one with a scope of several groups.
    """

    def __init__(
        self,
        rule: GradientRule,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        scope: Scope | None = None,
        collector: Collector | None = None,
        *,
        check_every_n_steps: int = 1,
        average_ranks: bool = False,
        scaled: bool = False,
    ) -> None:
        trained = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
        self.rule = rule
        self.scope = scope or AllParameters()
        self.collector = collector or AutogradRows()
        self.names = [name for name, _ in trained]
        self.parameters = [parameter for _, parameter in trained]
        partition = self.scope if isinstance(self.scope, Partition) else AllParameters()
        self.groups = partition.groups(self.names)
        self.interval = CheckInterval(check_every_n_steps)
        self.average_ranks = average_ranks
        self.scaled = scaled
        self.observers: list[Callable[[Sequence[Row]], None]] = []
        self._begin()
        self._check(explicit_scope=scope is not None)

    def _check(self, *, explicit_scope: bool) -> None:
        if not self.parameters:
            raise UserError("parameters to train", "none that requires a gradient", "Unfreeze some.")
        self.scope.check(self.names)
        every = self.interval.steps
        if every > 1 and len(self.groups) > 1:
            raise UserError(
                f"a scope of one decision for check_every_n_steps = {every}",
                f"{type(self.scope).__name__} with {len(self.groups)}",
                "Set check_every_n_steps to 1, or the scope to AllParameters, TopLayers or Representation.",
            )
        ignored = [name for name, given in (("scope", explicit_scope), ("check_every_n_steps", every > 1)) if given]
        if ignored and not self.rule.needs_separate_gradients:
            rule = type(self.rule).__name__
            warnings.warn(f"the rule {rule} compares no gradients: {' and '.join(ignored)} ignored", stacklevel=3)

    def _begin(self) -> None:
        self._rows: list[Row] = []
        self._samples: list[int] = []
        self._discarded = False
        self._compared: list[Row] = []
        self._proxy_products: list[Tensor] = []

    def add(self, terms: Sequence[Tensor], embeddings_EBD: Tensor | None = None, *, samples: int = 1) -> None:
        """Add the gradients of one micro-batch; the graph is freed.

        Args:
            terms: K scalars, the protected one first; weighted, and scaled where a loss scaler is at work.
            embeddings_EBD: what the classifiers see, for the scope `Representation`.
            samples: Number of samples behind the terms; the weight of this micro-batch in the mean.
        """
        weights_K = self._weights_beforehand(terms, embeddings_EBD)
        if weights_K is not None:
            self._discarded |= bool((weights_K == 0).any())
        losses = list(terms) if weights_K is None else [weighted_total(terms, weights_K)]
        rows = self.collector.rows(losses, self.parameters)
        self._samples.append(samples)
        # Relative to the first micro-batch: where all are equally large, nothing is multiplied.
        if samples != self._samples[0] and (gradients := _present(rows)):
            torch._foreach_mul_(gradients, samples / self._samples[0])
        self._rows = [_added(*pair) for pair in zip(self._rows, rows, strict=True)] if self._rows else rows

    def finish(self) -> StepReport:
        """Average over micro-batches and ranks, let the rule decide where it has not yet, write `.grad`, start afresh.

        Returns:
            The report; where it says `skipped`, `.grad` is written only if `scaled`.
        """
        average = self.average_ranks and not self.collector.averages_ranks
        rows = [mean_over_ranks(row) if average else row for row in self._rows]
        if len(self._samples) > 1 and (gradients := _present(rows)):
            torch._foreach_div_(gradients, sum(self._samples) / self._samples[0])
        for observer in self.observers:
            observer(self._compared or rows)
        products_KN = products_by_parameter(rows)
        report = self._decide(rows, products_KN) if len(rows) > 1 else self._report(rows[0], products_KN.sum())
        if report.skipped and not self.scaled:
            self.clear()
        self.interval.advance()
        self._begin()
        return report

    def clear(self) -> None:
        """Forget gradients that were written."""
        for parameter in self.parameters:
            parameter.grad = None

    # -- the rule decides ------------------------------------------------------------------------------------------

    def _weights_beforehand(self, terms: Sequence[Tensor], embeddings_EBD: Tensor | None) -> Tensor | None:
        """The terms' weights, if they are known before the backward pass."""
        if not self.rule.needs_separate_gradients or len(terms) == 1:
            return torch.ones(len(terms))
        if not self.interval.due:
            return self.interval.weights_K
        if not isinstance(self.scope, Proxy):
            return None
        tensors = self.scope.tensors(self.names, self.parameters, embeddings_EBD)
        self._compared, products_K = proxy_rows(
            terms, tensors, average_ranks=self.average_ranks, sums_over_ranks=self.scope.sums_over_ranks
        )
        self._proxy_products.append(products_K)
        return self._weights(products_K)

    def _weights(self, products_K: Tensor) -> Tensor:
        overflow = not products_K.isfinite().all() if self.scaled else not products_K[0].isfinite()
        return torch.ones_like(products_K) if overflow else self.rule.weights(products_K)

    def _decide(self, rows: list[Row], products_KN: Tensor) -> StepReport:
        """Let the rule decide group by group on rows of their own."""
        products_GK = torch.stack([products_KN[:, group].sum(dim=1) for group in self.groups])
        finite = products_GK.isfinite()
        skipped = not bool((finite if self.scaled else finite[:, :1]).all())
        for group, products_K in zip(self.groups, products_GK, strict=True):
            weights_K = torch.ones_like(products_K) if skipped else self.rule.weights(products_K)
            self._discarded |= bool((weights_K == 0).any())
            for index in group:
                reached = any(row[index] is not None for row in rows)
                self.parameters[index].grad = combine(rows, weights_K, index, in_place=True) if reached else None
        if not skipped:
            self.interval.remember(products_GK.sum(dim=0), weights_K)
        return StepReport(products_GK.sum(dim=0), discarded=self._discarded and not skipped, skipped=skipped)

    def _report(self, total: Row, square: Tensor) -> StepReport:
        """Write a gradient whose terms were weighted before the backward pass, and report what was decided then."""
        for parameter, gradient in zip(self.parameters, total, strict=True):
            parameter.grad = gradient
        skipped = not bool(square.isfinite())
        if self._proxy_products:
            weights_M = torch.tensor(self._samples, dtype=torch.float64)
            products_K = (weights_M / weights_M.sum()) @ torch.stack(self._proxy_products)
            skipped |= not bool(products_K[0].isfinite())
            if not skipped:
                self.interval.remember(products_K, self._weights(products_K))
        elif self.interval.products_K is not None:
            products_K = self.interval.products_K
        else:
            products_K = square.reshape(1)
        return StepReport(products_K, discarded=self._discarded and not skipped, skipped=skipped)


def _present(rows: Sequence[Row]) -> list[Tensor]:
    """Gradients of all rows, without what a term does not reach."""
    return [gradient for row in rows for gradient in row if gradient is not None]


def _added(total: Row, row: Row) -> Row:
    """Sum of two rows, where `None` counts as zero; written into the first."""
    return [b if a is None else a if b is None else a.add_(b) for a, b in zip(total, row, strict=True)]
