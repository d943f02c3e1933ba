"""Operating points of an export: their description from a run's result, and their criterion and threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, RecommendedPoint, Static, SweepReport, from_config, to_config
from acl_lightning.runs import RunResult
from acl_lightning.runs.records.points import named_point


def sweep_report(result: RunResult) -> SweepReport | None:
    """Return the exit sweep of a run's result; None for a run without an exit sweep.

    Raises:
        UserError: The result is damaged.
    """
    return SweepReport.from_json(result.report) if result.report else None


def served_points(recommended: Mapping[str, RecommendedPoint]) -> dict[str, Any]:
    """Describe the recommended operating points of a run, by name.

    Args:
        recommended: Name -> operating point, as in `SweepReport.recommended`. A point of an earlier version without a
            description of its criterion is left out.

    Returns:
        Name -> `criterion` (its `name` and `settings`), `threshold`, and `measured`, in plain JSON types.

    Raises:
        UserError: A criterion is not known, or a threshold is out of its range.
    """
    points = {}
    for name, point in recommended.items():
        if point.exit is None:
            continue
        criterion = point.criterion()
        criterion.check_threshold(point.threshold)
        points[name] = {
            "criterion": to_config(criterion),
            "threshold": point.threshold,
            "measured": _measured(point),
        }
    return points


def _measured(point: RecommendedPoint) -> dict[str, float]:
    """Return the measured values of a point on the report split, without those that are not finite.

    The drop against full depth has the key `loss_points` of version 0.1.
    """
    values = {
        "quality": point.quality,
        "loss_points": point.drop_points,
        "mean_exit_layer": point.mean_exit_layer,
        "layer_speedup": point.layer_speedup,
        "layer_saving": point.layer_saving,
        "flops_speedup": point.flops_speedup,
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def resolve_point(
    points: Mapping[str, Any] | None, name: str | None, exit_layers: Sequence[int]
) -> tuple[Criterion, float]:
    """Return criterion and threshold of an operating point.

    Args:
        points: Name -> description, as `served_points` returns them.
        name: Name of the point, also as earlier versions wrote it. None: full depth.
        exit_layers: Layers that have an exit, for full depth.

    Raises:
        UserError: There is no point of that name (the message lists the names that exist), or it is damaged.
    """
    if name is None:
        return Static(), float(len(exit_layers))
    name, point = named_point(points or {}, name, "Leave it out for full depth.")
    try:
        criterion, threshold = from_config(point["criterion"]), float(point["threshold"])
        criterion.check_threshold(threshold)
    except UserError:
        raise
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise UserError(
            f"criterion and threshold of the operating point {name!r}",
            f"{type(error).__name__}: {error}",
            "Export the run again.",
        ) from error
    return criterion, threshold
