"""The best that any criterion could do: leave at the first exit that is right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.costs import ExitCosts
from acl_lightning.exits.evaluation.sweep import Quality


@dataclass(frozen=True)
class OraclePoint:
    """A point of the oracle's curve.

    Attributes:
        deepest: layer of the deepest exit that it uses.
        quality: the metric, a fraction.
        mean_exit_layer: mean layer (counted from 1) at which samples leave.
        layer_speedup: depth / mean_exit_layer.
        flops_speedup: FLOPs of full depth / mean FLOPs.
    """

    deepest: int
    quality: float
    mean_exit_layer: float
    layer_speedup: float
    flops_speedup: float


def oracle_exits(predictions_EB: Tensor, labels_B: Tensor) -> Tensor:
    """Index (B,) of the first exit that is right; 0 for samples that no exit answers rightly, the cheapest mistake."""
    return (predictions_EB == labels_B).to(torch.uint8).argmax(dim=0)


def oracle_curve(predictions_EB: Tensor, labels_B: Tensor, *, quality: Quality, costs: ExitCosts) -> list[OraclePoint]:
    """E points, from fast to slow: with knowledge of the labels, and no exit deeper than the e-th.

    At point e the samples whose first right exit is at most e leave there, all others at the first exit. The accuracy
    at these points, joined by straight lines over the mean cost, bounds that of every criterion from above: a sample
    that is right costs at least its first right exit, any other at least the first exit, and the cheap ones are served
    first. The last point is the classic oracle. For other metrics than accuracy the exits are the same ones and
    the bound is none in the strict sense. Our reading: peers report the last point alone.

    Args:
        predictions_EB: every exit's class.
        labels_B: classes.
        quality: the task's metric.
        costs: what leaving at each exit costs.

    Raises:
        UserError: a regression, in which no answer is exactly right.
    """
    if labels_B.is_floating_point():
        raise UserError("classes for an oracle", "a regression", "Leave the oracle out: no value is exactly right.")
    first_B = oracle_exits(predictions_EB, labels_B)
    points = []
    for deepest, layer in enumerate(costs.layers_E):
        exits_B = first_B.where(first_B <= deepest, 0)
        counts_E = exits_B.bincount(minlength=len(costs.layers_E)).double()
        shares_E = tuple((counts_E / len(labels_B)).tolist())
        mean_layer = costs.mean_layer(shares_E)
        points.append(
            OraclePoint(
                deepest=layer,
                quality=quality(predictions_EB.gather(0, exits_B[None])[0], labels_B),
                mean_exit_layer=mean_layer,
                layer_speedup=costs.depth / mean_layer,
                flops_speedup=costs.full_flops / costs.mean_flops(shares_E),
            )
        )
    return points
