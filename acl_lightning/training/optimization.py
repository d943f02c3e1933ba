"""Optimiser: settings, parameter groups, schedule, and the number of steps of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from acl_lightning.errors import UserError


@dataclass(frozen=True)
class OptimizationConfig:
    """AdamW with linear warm-up and linear decay to zero.

    Args:
        learning_rate: Learning rate of the backbone.
        head_learning_rate: Learning rate of all other parameters (heads, probes, label embeddings); None: the same.
        weight_decay: Weight decay of all parameters but biases and norms.
        warmup_fraction: Fraction of the optimiser steps in which the learning rate rises from zero.
        max_grad_norm: Largest norm of the combined gradient, after unscaling; None: no clipping.
        accumulate: Number of micro-batches per optimiser step. The last step of an epoch may have fewer. Micro-batches
            are weighted by their numbers of samples, which gives the cross-entropy of a single large batch; a
            contrastive term compares only samples of the same micro-batch (see `GradientStep`).
        max_skipped_steps: Number of steps in a row with a gradient that is not finite after which the training stops.
            If the gradient of the protected term is not finite, the step is skipped.
        layer_decay: Factor of the learning rate from a layer of the backbone to the layer below, in (0, 1]: a layer
            with n computed layers above it has `learning_rate * layer_decay ** n` (as in ELECTRA; that the layer of the
            deepest exit has `learning_rate` itself is our reading). The embeddings are below layer 1. None: the same
            learning rate everywhere.
    """

    learning_rate: float = 5e-5
    head_learning_rate: float | None = None
    weight_decay: float = 0.01
    warmup_fraction: float = 0.1
    max_grad_norm: float | None = 1.0
    accumulate: int = 1
    max_skipped_steps: int = 20
    layer_decay: float | None = None

    def check(self) -> None:
        """Raise `UserError` for a value out of its range."""
        ranges: dict[str, tuple[bool, str]] = {
            "learning_rate": (self.learning_rate > 0, "a number > 0"),
            "head_learning_rate": (self.head_learning_rate is None or self.head_learning_rate > 0, "a number > 0"),
            "weight_decay": (self.weight_decay >= 0, "a number >= 0"),
            "warmup_fraction": (0 <= self.warmup_fraction <= 1, "a share in [0, 1]"),
            "max_grad_norm": (self.max_grad_norm is None or self.max_grad_norm > 0, "a number > 0, or null"),
            "accumulate": (self.accumulate >= 1, "an integer >= 1"),
            "layer_decay": (self.layer_decay is None or 0 < self.layer_decay <= 1, "a factor in (0, 1], or null"),
            "max_skipped_steps": (self.max_skipped_steps >= 1, "an integer >= 1"),
        }
        for name, (valid, expected) in ranges.items():
            if not valid:
                default = type(self).__dataclass_fields__[name].default
                advice = f"Set model.optimization.{name} to {'null' if default is None else default} (the default)."
                raise UserError(expected, f"{getattr(self, name)}", advice)


#: Function from the name of a parameter to the number of layers above it; None outside of the backbone.
LayersAbove = Callable[[str], int | None]


def outside_or_top(name: str) -> int | None:
    """Return 0 for all parameters of the backbone, None for others: no layer-wise learning rates."""
    return 0 if name.startswith("backbone.") else None


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    config: OptimizationConfig,
    layers_above: LayersAbove = outside_or_top,
) -> list[dict[str, object]]:
    """Return the parameter groups of AdamW: with decay or, for vectors (biases, norms), without.

    There are groups for the backbone and for the other parameters; with `layer_decay` there is one per layer of the
    backbone, the top layer first.

    Args:
        named_parameters: Parameters with their names. Frozen parameters are left out.
        config: Settings of the optimiser.
        layers_above: Number of layers above a parameter.
    """
    head_rate = config.learning_rate if config.head_learning_rate is None else config.head_learning_rate
    levels = outside_or_top if config.layer_decay is None else layers_above
    decay = 1.0 if config.layer_decay is None else config.layer_decay
    groups: dict[tuple[bool, int, bool], list[nn.Parameter]] = {}
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            level = levels(name)
            groups.setdefault((level is not None, -(level or 0), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": config.learning_rate * decay**-below if in_backbone else head_rate,
            "weight_decay": config.weight_decay if decayed else 0.0,
        }
        for (in_backbone, below, decayed), parameters in sorted(groups.items(), reverse=True, key=lambda item: item[0])
    ]


def build_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    config: OptimizationConfig,
    total_steps: int,
    *,
    fused: bool,
    layers_above: LayersAbove = outside_or_top,
) -> tuple[AdamW, LambdaLR]:
    """Return AdamW over `parameter_groups`, and its schedule.

    Args:
        named_parameters: Parameters with their names; `backbone.` starts the names of the backbone's parameters.
        config: Settings of the optimiser.
        total_steps: Number of optimiser steps of the whole run.
        fused: Whether to use the fused kernel of AdamW. It cannot be used with a loss scaler, which must unscale the
            gradients before they are clipped.
        layers_above: See `parameter_groups`.
    """
    optimizer = AdamW(parameter_groups(named_parameters, config, layers_above), fused=fused)
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
    """Return the number of optimiser steps of a run, from the batches per epoch and the limits of the Trainer.

    Lightning's estimate does not know manual accumulation, and drops the state of the loader when a run is resumed.

    Args:
        batches_per_epoch: Number of micro-batches of each process.
        accumulate: Number of micro-batches per step; the last step of an epoch may have fewer.
        max_epochs: Largest number of epochs; None or -1: no limit.
        max_steps: Largest number of optimiser steps; -1: no limit.
        limit_train_batches: Setting of the Trainer: an int is a number of batches, a float is a fraction.

    Raises:
        UserError: There is no limit, or no training batch.
    """
    if isinstance(limit_train_batches, int):
        batches_per_epoch = min(batches_per_epoch, limit_train_batches)
    elif limit_train_batches is not None:
        batches_per_epoch = int(batches_per_epoch * limit_train_batches)
    if batches_per_epoch < 1:
        raise UserError(
            "at least one training batch", "none", "Set trainer.limit_train_batches to 1.0, or give more training rows."
        )
    bounds = []
    if max_epochs is not None and max_epochs >= 0:
        bounds.append(max_epochs * math.ceil(batches_per_epoch / accumulate))
    if max_steps >= 0:
        bounds.append(max_steps)
    if not bounds:
        raise UserError(
            "trainer.max_epochs or trainer.max_steps",
            "neither",
            "Set trainer.max_epochs: the learning-rate schedule needs an end.",
        )
    return min(bounds)
