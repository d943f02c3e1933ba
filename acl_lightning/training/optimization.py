"""The optimiser: its settings, parameter groups and schedule, and how many steps it will take."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from acl_lightning.errors import UserError


@dataclass(frozen=True)
class OptimizationConfig:
    """AdamW with linear warm-up and linear decay to zero.

    Args:
        learning_rate: of the backbone.
        head_learning_rate: of everything that is not the backbone (heads, probes, label embeddings); None: the same.
        weight_decay: not applied to biases and norms.
        warmup_fraction: share of all optimiser steps over which the learning rate rises from zero.
        max_grad_norm: gradients are scaled down to this norm, after the rule and after unscaling; None: no clipping.
        accumulate: Micro-batches per optimiser step. The last group of an epoch may be smaller and is stepped too.
            Micro-batches are weighted by their numbers of samples, which gives the cross-entropy of one large batch;
            a contrastive term compares the samples of a micro-batch only (see `GradientStep`).
        max_skipped_steps: training stops after this many steps in a row with a gradient that is not finite. Such steps
            are skipped where it is the protected term's.
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
