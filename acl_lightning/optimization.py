"""One optimiser step by hand: terms -> gradients per term -> rule -> `.grad`; parameter groups and schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from acl_lightning.errors import UserError
from acl_lightning.gradients import (
    AllParameters,
    GradientRule,
    Partition,
    autograd_rows,
    combine,
    mean_over_ranks,
    products_with_protected,
)
from acl_lightning.gradients.collect import Row


@dataclass(frozen=True)
class OptimizationConfig:
    """AdamW with linear warm-up and linear decay to zero.

    Args:
        learning_rate: of the backbone.
        head_learning_rate: of everything that is not the backbone (heads, probes, label embeddings); None: the same.
        weight_decay: not applied to biases and norms.
        warmup_fraction: share of all optimiser steps over which the learning rate rises from zero.
        max_grad_norm: gradients are scaled down to this norm, after the rule and after unscaling; None: no clipping.
        accumulate: micro-batches per optimiser step. The last group of an epoch may be smaller and is stepped too.
        max_skipped_steps: training stops after this many steps in a row whose protected gradient is not finite.
    """

    learning_rate: float = 5e-5
    head_learning_rate: float | None = None
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    max_grad_norm: float | None = 1.0
    accumulate: int = 1
    max_skipped_steps: int = 20

    def check(self) -> None:
        """Raise `UserError` on values outside their range."""
        ranges: dict[str, tuple[bool, str]] = {
            "learning_rate": (self.learning_rate > 0, "a number > 0"),
            "head_learning_rate": (self.head_learning_rate is None or self.head_learning_rate > 0, "a number > 0"),
            "weight_decay": (self.weight_decay >= 0, "a number >= 0"),
            "warmup_fraction": (0 <= self.warmup_fraction <= 1, "a share in [0, 1]"),
            "max_grad_norm": (self.max_grad_norm is None or self.max_grad_norm > 0, "a number > 0, or null"),
            "accumulate": (self.accumulate >= 1, "an integer >= 1"),
            "max_skipped_steps": (self.max_skipped_steps >= 1, "an integer >= 1"),
        }
        for name, (valid, expected) in ranges.items():
            if not valid:
                raise UserError(expected, f"{getattr(self, name)}", f"Set model.optimization.{name}.")


@dataclass(frozen=True)
class StepReport:
    """What one optimiser step decided.

    Attributes:
        products_K: `<g_0, g_k>` over the shared parameters, summed over groups.
        discarded: whether some auxiliary row was left out entirely in some group.
        skipped: whether the protected gradient (under a loss scaler: any) was not finite, so that nothing is learnt.
    """

    products_K: Tensor
    discarded: bool
    skipped: bool


class GradientStep:
    """Accumulates the gradients of every term over micro-batches; at the end the rule decides once.

    Args:
        rule: combines the rows.
        named_parameters: what is trained; those that require no gradient are left out.
        scope: over which parameters the rule decides. Default: all as one vector.

    Attributes:
        observers: called at the end of every step with the accumulated rows, before they are combined.
    """

    def __init__(
        self, rule: GradientRule, named_parameters: Iterable[tuple[str, nn.Parameter]], scope: Partition | None = None
    ) -> None:
        trained = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
        self.rule = rule
        self.parameters = [parameter for _, parameter in trained]
        self.groups = (scope or AllParameters()).groups([name for name, _ in trained])
        self.observers: list[Callable[[Sequence[Row]], None]] = []
        self._rows: list[Row] = []
        self._count = 0

    def add(self, terms: Sequence[Tensor]) -> None:
        """Add the gradients of one micro-batch; the graph is freed."""
        losses = list(terms) if self.rule.needs_separate_gradients else [torch.stack(list(terms)).sum()]
        rows = autograd_rows(losses, self.parameters)
        self._rows = [_added(*pair) for pair in zip(self._rows, rows, strict=True)] if self._rows else rows
        self._count += 1

    def finish(self, *, average_ranks: bool = False, scaled: bool = False) -> StepReport:
        """Average over micro-batches (and ranks), let the rule decide, write `.grad`, and start afresh.

        Args:
            average_ranks: average every row over the processes first, so that all of them decide alike.
            scaled: a loss scaler is at work. It must see every overflow, so the rows are then summed as they are.

        Returns:
            The report; where it says `skipped`, `.grad` is written only if `scaled`.
        """
        rows = [mean_over_ranks(row) if average_ranks else row for row in self._rows]
        count, self._rows, self._count = self._count, [], 0
        for row in rows:
            if count > 1:
                torch._foreach_div_([gradient for gradient in row if gradient is not None], float(count))
        for observer in self.observers:
            observer(rows)
        products_GK = torch.stack([products_with_protected(rows, group) for group in self.groups])
        finite = products_GK.isfinite()
        skipped = not bool((finite if scaled else finite[:, :1]).all())
        if skipped and not scaled:
            self.clear()
            return StepReport(products_GK.sum(dim=0), discarded=False, skipped=True)
        discarded = False
        for group, products_K in zip(self.groups, products_GK, strict=True):
            weights_K = torch.ones_like(products_K) if skipped else self.rule.weights(products_K)
            discarded |= bool((weights_K == 0).any())
            for index in group:
                reached = any(row[index] is not None for row in rows)
                self.parameters[index].grad = combine(rows, weights_K, index) if reached else None
        return StepReport(products_GK.sum(dim=0), discarded=discarded, skipped=skipped)

    def clear(self) -> None:
        """Forget gradients that were written."""
        for parameter in self.parameters:
            parameter.grad = None


def _added(total: Row, row: Row) -> Row:
    """Sum of two rows, where `None` counts as zero."""
    return [b if a is None else a if b is None else a + b for a, b in zip(total, row, strict=True)]


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimizationConfig
) -> list[dict[str, object]]:
    """AdamW's groups: backbone or head, decayed or not. Vectors (biases, norms) are not decayed."""
    head_rate = config.learning_rate if config.head_learning_rate is None else config.head_learning_rate
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            groups.setdefault((name.startswith("backbone."), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.learning_rate if in_backbone else head_rate,
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        for (in_backbone, decayed), parameters in sorted(groups.items(), reverse=True, key=lambda item: item[0])
    ]


def build_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimizationConfig, total_steps: int, *, fused: bool
) -> tuple[AdamW, LambdaLR]:
    """AdamW over `parameter_groups` and its schedule.

    Args:
        named_parameters: names starting with `backbone.` take the backbone's learning rate.
        config: the settings.
        total_steps: optimiser steps of the whole run.
        fused: AdamW's fused kernel; not with a loss scaler, which must unscale before clipping.
    """
    optimizer = AdamW(parameter_groups(named_parameters, config), fused=fused)
    warmup = math.ceil(config.warmup_fraction * total_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return step / max(1, warmup)
        return max(0.0, (total_steps - step) / max(1, total_steps - warmup))

    return optimizer, LambdaLR(optimizer, factor)


def count_steps(
    batches_per_epoch: int,
    accumulate: int,
    max_epochs: int | None,
    max_steps: int,
    limit_train_batches: int | float | None,
) -> int:
    """Optimiser steps of a run, from the DataModule and the Trainer's limits.

    Lightning's own estimate does not know manual accumulation, and asking for it drops the loader's state on resume.

    Args:
        batches_per_epoch: micro-batches that each process sees.
        accumulate: micro-batches per step; the last step of an epoch may have fewer.
        max_epochs: None or -1: unbounded.
        max_steps: -1: unbounded.
        limit_train_batches: Lightning's setting: an int counts batches, a float is a share.

    Raises:
        UserError: neither bound is set, or no batch is left to train on.
    """
    if isinstance(limit_train_batches, int):
        batches_per_epoch = min(batches_per_epoch, limit_train_batches)
    elif limit_train_batches is not None:
        batches_per_epoch = int(batches_per_epoch * limit_train_batches)
    if batches_per_epoch < 1:
        raise UserError("at least one training batch", "none", "Check data and trainer.limit_train_batches.")
    bounds = []
    if max_epochs is not None and max_epochs >= 0:
        bounds.append(max_epochs * math.ceil(batches_per_epoch / accumulate))
    if max_steps >= 0:
        bounds.append(max_steps)
    if not bounds:
        raise UserError("trainer.max_epochs or trainer.max_steps", "neither", "The schedule needs an end; set one.")
    return min(bounds)
