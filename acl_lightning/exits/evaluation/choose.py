"""Choosing operating points of a finished run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.budgets import Budget, full_depth
from acl_lightning.exits.evaluation.description import describe_recommended
from acl_lightning.exits.evaluation.latency_table import LatencyTable
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.selection import recommend
from acl_lightning.exits.evaluation.sweep import sweep
from acl_lightning.exits.evaluation.swept_criteria import every_criterion, readable_criteria
from acl_lightning.metrics import quality


@dataclass(frozen=True)
class ChosenPoints:
    """What the budgets give on a run's stored logits.

    Attributes:
        points: Name -> entry as under `recommended` in `result.json`, with `budget` (the constraint in words) and,
            where times were measured, `milliseconds` and `measured_speedup` on the report half.
        unreachable: The budgets that no operating point keeps on the selection half, in words.
        baseline: The constant answer, see `describe_recommended`.
        full_depth: Quality of full depth on the report half, a fraction.
    """

    points: dict[str, Any]
    unreachable: list[str]
    baseline: dict[str, Any]
    full_depth: float


def choose_points(
    record: ExitRecord,
    metric: str,
    budgets: Sequence[Budget],
    *,
    calibrate: bool = False,
    suffix: str = "",
    times: LatencyTable | None = None,
) -> ChosenPoints:
    """Sweep all criteria over stored logits and choose a point for each budget on the selection half.

    Args:
        record: Exit logits of the run.
        metric: Name of the task's primary metric.
        budgets: Budgets with different names, at least one.
        calibrate: Fit a temperature per exit on the selection half first.
        suffix: Appended to the names of the budgets.
        times: Measured times, to state the time of each point.

    Raises:
        UserError: A budget does not fit the exits of the run, calibration of a regression, or an empty half.
    """
    for budget in budgets:
        budget.check_exits(record.costs.layers_E)
    if calibrate and record.is_regression:
        raise UserError("classes to calibrate", "a regression", "Leave out --calibrate.")
    criteria = readable_criteria(every_criterion(), record, calibrate=calibrate)
    measure = partial(quality, metric)
    swept = sweep(
        record.logits_EBC,
        record.labels_B,
        criteria,
        quality=measure,
        selection_B=record.selection_B,
        costs=record.costs,
        gates_EB=record.gates_EB,
    )
    chosen = recommend(swept, budgets)
    full = full_depth(swept)
    unreachable = [budget.text for budget in budgets if budget.name not in chosen]
    # Full depth is described too, so that the comparison with the constant answer exists whatever was chosen.
    described, baseline = describe_recommended(record, swept, {**chosen, _FULL: full}, criteria, metric, measure)
    points = {}
    for budget in budgets:
        if budget.name in chosen:
            entry = described[budget.name] | {"budget": budget.text}
            entry["beaten_by"] = [f"{rival}{suffix}" for rival in entry["beaten_by"] if rival != _FULL]
            if times is not None:
                entry |= _measured(times, times.milliseconds(chosen[budget.name], selection=False))
            points[f"{budget.name}{suffix}"] = entry
    return ChosenPoints(points, unreachable, baseline, full.quality)


#: Stands for full depth among the described points; no budget has this name.
_FULL = "full depth"


def _measured(times: LatencyTable, milliseconds: float) -> Mapping[str, float]:
    found = {"milliseconds": milliseconds}
    if times.plain_milliseconds is not None:
        found["measured_speedup"] = times.plain_milliseconds / milliseconds
    return found
