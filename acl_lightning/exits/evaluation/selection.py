"""Selection of operating points on the selection split, to be reported on the report split."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.budgets import Budget, MaxDrop
from acl_lightning.exits.evaluation.operating_point import OperatingPoint, full_depth
from acl_lightning.exits.evaluation.report import CrossFitted


def drop_name(points: float) -> str:
    """Return the name of the operating point for a drop of at most `points`: `drop0`, `drop1`, `drop0.5`."""
    return MaxDrop(points).name


def check_names(budgets: Sequence[Budget]) -> None:
    """Raise `UserError` unless the budgets have different names."""
    names = [budget.name for budget in budgets]
    if len(set(names)) < len(names):
        raise UserError("budgets with different names", ", ".join(names), "Set the argument name of one of them.")


def check_cross_fit(selection_from: str) -> None:
    """Raise `UserError` if the splits cannot exchange their roles because one of them consists of training rows.

    Args:
        selection_from: Split that the selection rows are taken from, `validation` or `train`.
    """
    if selection_from != "validation":
        raise UserError(
            "two parts of the validation split for cross_fit",
            f"a selection split of {selection_from} rows",
            "Set exit_sweep.cross_fit to false, or data.selection to validation.",
        )


def as_budgets(budgets: Sequence[Budget | float]) -> list[Budget]:
    """Return the budgets, with `MaxDrop(points)` for each number.

    Raises:
        UserError: A negative number, or two budgets of the same name.
    """
    objects = [budget if isinstance(budget, Budget) else MaxDrop(budget) for budget in budgets]
    check_names(objects)
    return objects


def recommend(
    points: Sequence[OperatingPoint], budgets: Sequence[Budget | float] = (0, 1, 2)
) -> dict[str, OperatingPoint]:
    """Return the best point of a sweep for each budget, by the name of the budget, in the order of the budgets.

    Args:
        points: Points that `sweep` returned.
        budgets: Budgets; a number means `MaxDrop`. A budget that no point keeps is left out of the result.

    Raises:
        UserError: A negative number, or two budgets of the same name.
    """
    selected = {budget.name: budget.choose(points) for budget in as_budgets(budgets)}
    return {name: point for name, point in selected.items() if point is not None}


def cross_fit(
    points: Sequence[OperatingPoint], reversed_points: Sequence[OperatingPoint], budgets: Sequence[Budget | float]
) -> dict[str, CrossFitted]:
    """Return the result of each budget averaged over two turns, in which the splits exchange their roles.

    A budget that no point keeps in one of the turns is left out.

    Args:
        points: Points of a sweep.
        reversed_points: Points of the same sweep with exchanged splits (`selection_B=~selection_B`).
        budgets: Budgets; a number means `MaxDrop`.
    """
    turns = [(full_depth(turn), recommend(turn, budgets)) for turn in (points, reversed_points)]
    results = {}
    for name in turns[0][1]:
        if name not in turns[1][1]:
            continue
        pairs = [(full, selected[name]) for full, selected in turns]
        first, second = (point for _, point in pairs)
        results[name] = CrossFitted(
            quality=(first.quality + second.quality) / 2,
            drop_points=sum(100 * (full.quality - point.quality) for full, point in pairs) / 2,
            layer_speedup=(first.layer_speedup + second.layer_speedup) / 2,
            flops_speedup=(first.flops_speedup + second.flops_speedup) / 2,
            selected=((first.criterion_name, first.threshold), (second.criterion_name, second.threshold)),
        )
    return results
