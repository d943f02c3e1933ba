"""Manual gradient step: terms -> gradients per term -> rule -> `.grad`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acl_lightning.distributed import mean_over_ranks
from acl_lightning.errors import UserError
from acl_lightning.gradients.base import GradientRule
from acl_lightning.gradients.collector import AutogradRows, Collector, Row
from acl_lightning.gradients.interval import CheckInterval
from acl_lightning.gradients.products import combine, products_by_parameter
from acl_lightning.gradients.proxy import proxy_rows, weighted_total
from acl_lightning.gradients.scopes import AllParameters, Partition, Proxy, Scope


@dataclass(frozen=True)
class StepReport:
    """Decision of an optimiser step.

    Attributes:
        products_K: Inner products `<g_0, g_k>` over the shared parameters, summed over the groups of a `Partition`. For
            a `Proxy`: products at its tensors, averaged over the micro-batches with their numbers of samples as
            weights. At a step between two checks: the products of the last check. For a rule that needs no separate
            gradients: the squared norm of the total gradient alone.
        discarded: Whether an auxiliary term was left out entirely, in any group or micro-batch.
        skipped: Whether the protected gradient was not finite, so that the parameters must not change. Also true if the
            total gradient is not finite where the terms share a backward pass (with a `Proxy`, between checks, or
            without separate gradients), and if any gradient is not finite with a loss scaler.
    """

    products_K: Tensor
    discarded: bool
    skipped: bool


class GradientStep:
    """Accumulation of gradients over micro-batches, a decision of the rule, and a single write of `.grad`.

    The gradient of a term is the mean of its gradients over the micro-batches, weighted by their numbers of samples:
    `sum_i n_i g_i / sum_i n_i`. For a term that is a mean over samples (cross-entropy without class weights, squared
    error) this equals the gradient of a single batch with all samples, also if the last micro-batch is smaller. A
    contrastive term compares only samples of the same micro-batch, so its weighted mean differs from the loss of the
    whole batch.

    With a `Partition` every term has its own backward pass, and the rule decides at the end of the step, group by
    group. With a `Proxy`, between two checks, and for a rule that needs no separate gradients, the weights are known
    before the backward pass, which is then a single pass for the weighted sum of the terms.

    Args:
        rule: Rule that combines the gradients.
        named_parameters: Names and parameters to train; parameters that require no gradient are left out.
        scope: Gradients over which the rule decides. Default: all parameters as one vector.
        collector: Computation of the gradients. Default: `AutogradRows`.
        check_every_n_steps: Interval between decisions of the rule, in steps; its weights are kept in between.
        average_ranks: Whether to average gradients over the processes before the decision, which is then the same
            everywhere.
        scaled: Whether a loss scaler is used. It has to see every overflow, so no gradient is left out.

    Attributes:
        observers: Functions called at the end of every step with the rows that the rule compared, before they are
            combined: the accumulated rows with a `Partition`, the rows of the last micro-batch with a `Proxy`, and a
            single row, the total gradient, at a step without a comparison.

    Raises:
        UserError: No parameter to train, a scope that selects nothing, an interval below 1, or an interval above 1 with
            a scope of several groups.
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
            raise UserError(
                "parameters to train", "none that requires a gradient", "Unfreeze the backbone or the heads."
            )
        self.scope.check(self.names)
        every = self.interval.steps
        if every > 1 and len(self.groups) > 1:
            raise UserError(
                f"a scope with a single group for check_every_n_steps = {every}",
                f"{type(self.scope).__name__} with {len(self.groups)} groups",
                "Set model.check_every_n_steps to 1, or model.gradient_scope to AllParameters or TopLayers.",
            )
        ignored = [name for name, is_set in (("scope", explicit_scope), ("check_every_n_steps", every > 1)) if is_set]
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
        """Add the gradients of a micro-batch, and free its graph.

        Args:
            terms: K scalar losses, the protected one first; weighted, and scaled if a loss scaler is used.
            embeddings_EBD: Inputs of the classifiers, for the scope `Representation`.
            samples: Number of samples in the terms: the weight of this micro-batch in the mean.
        """
        weights_K = self._weights_beforehand(terms, embeddings_EBD)
        if weights_K is not None:
            self._discarded |= bool((weights_K == 0).any())
        losses = list(terms) if weights_K is None else [weighted_total(terms, weights_K)]
        rows = self.collector.rows(losses, self.parameters)
        self._samples.append(samples)
        # Relative to the first micro-batch: without multiplication if all have the same size.
        if samples != self._samples[0] and (gradients := _present(rows)):
            torch._foreach_mul_(gradients, samples / self._samples[0])
        self._rows = [_added(*pair) for pair in zip(self._rows, rows, strict=True)] if self._rows else rows

    def finish(self) -> StepReport:
        """Average over micro-batches and processes, decide if that is still open, write `.grad`, and reset.

        Returns:
            The report. If the step is skipped, `.grad` is written only with a loss scaler.
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
        """Set `.grad` of all parameters to `None`."""
        for parameter in self.parameters:
            parameter.grad = None

    # -- decision --------------------------------------------------------------------------------------------------

    def _weights_beforehand(self, terms: Sequence[Tensor], embeddings_EBD: Tensor | None) -> Tensor | None:
        """Return the weights of the terms if they are known before the backward pass."""
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
        """Let the rule decide group by group on separate rows."""
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
            self.interval.remember(products_GK.sum(dim=0), weights_K)  # read only with a single group, see _check
        return StepReport(products_GK.sum(dim=0), discarded=self._discarded and not skipped, skipped=skipped)

    def _report(self, total: Row, square: Tensor) -> StepReport:
        """Write a gradient whose terms were weighted before the backward pass, and report that decision."""
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
    """Return all gradients of all rows that are not `None`."""
    return [gradient for row in rows for gradient in row if gradient is not None]


def _added(total: Row, row: Row) -> Row:
    """Return the sum of two rows, written into the first; `None` counts as zero."""
    return [b if a is None else a if b is None else a.add_(b) for a, b in zip(total, row, strict=True)]
