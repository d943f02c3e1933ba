"""Choosing operating points on one half of the validation data, to be reported on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.budgets import Budget, MaxDrop, full_depth
from acl_lightning.exits.evaluation.operating_point import OperatingPoint


@dataclass(frozen=True)
class CrossFitted:
    """What a budget gives when both halves take turns: chosen on one and reported on the other, averaged over both.

    Every sample is reported once, by a point that it had no part in choosing; so the numbers rest on twice as many
    samples. They describe the procedure, not one threshold: the two turns may choose differently.

    Attributes:
        quality: mean of the metric over the two turns, a fraction.
        loss_points: mean of the losses against full depth, in hundredths.
        layer_speedup: mean of depth / mean exit layer.
        flops_speedup: mean of FLOPs of full depth / mean FLOPs.
        chosen: criterion and threshold of each turn.
    """

    quality: float
    loss_points: float
    layer_speedup: float
    flops_speedup: float
    chosen: tuple[tuple[str, float], tuple[str, float]]


def drop_name(max_loss: float) -> str:
    """The name of the recommendation for a loss of `max_loss` points: `drop0`, `drop1`, `drop0.5`."""
    return MaxDrop(max_loss).name


def check_names(budgets: Sequence[Budget]) -> None:
    """Raise `UserError` unless the budgets have different names."""
    names = [budget.name for budget in budgets]
    if len(set(names)) < len(names):
        raise UserError("budgets with different names", ", ".join(names), "Give one of them another name.")


def recommend(
    points: Sequence[OperatingPoint], budgets: Sequence[Budget | float] = (0, 1, 2)
) -> dict[str, OperatingPoint]:
    """The best point of a sweep for each budget, by the name of the budget, in the order given.

    Args:
        points: what `sweep` returned.
        budgets: see `Budget`; a number means `MaxDrop` of so many points. One that no point keeps is left out.

    Raises:
        UserError: a loss below 0, or two budgets of one name.
    """
    objects = [budget if isinstance(budget, Budget) else MaxDrop(budget) for budget in budgets]
    check_names(objects)
    chosen = {budget.name: budget.choose(points) for budget in objects}
    return {name: point for name, point in chosen.items() if point is not None}


def cross_fit(
    points: Sequence[OperatingPoint], reversed_points: Sequence[OperatingPoint], budgets: Sequence[Budget | float]
) -> dict[str, CrossFitted]:
    """What each budget gives on average over both turns; left out where one of them has no point that keeps it.

    Args:
        points: a sweep.
        reversed_points: the same sweep with the halves exchanged (`selection_B=~selection_B`).
        budgets: as for `recommend`.
    """
    turns = [(full_depth(one), recommend(one, budgets)) for one in (points, reversed_points)]
    found = {}
    for name in turns[0][1]:
        if name not in turns[1][1]:
            continue
        pairs = [(full, chosen[name]) for full, chosen in turns]
        first, second = (point for _, point in pairs)
        found[name] = CrossFitted(
            quality=(first.quality + second.quality) / 2,
            loss_points=sum(100 * (full.quality - point.quality) for full, point in pairs) / 2,
            layer_speedup=(first.layer_speedup + second.layer_speedup) / 2,
            flops_speedup=(first.flops_speedup + second.flops_speedup) / 2,
            chosen=((first.criterion, first.threshold), (second.criterion, second.threshold)),
        )
    return found
