"""Operating points as an export names them: from a run's result, and back to criterion and threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, Static, from_config

#: What of a recommendation is told to those who choose among the points; all of it from the report half.
MEASURED = ("quality", "loss_points", "mean_exit_layer", "layer_speedup", "layer_saving", "flops_speedup")


def served_points(result: Mapping[str, Any]) -> dict[str, Any]:
    """The recommended points of a `result.json`, by name: `criterion` (a recipe), `threshold`, `measured`.

    A result of an older version, which says nothing of how its points leave, has none.
    """
    points = {}
    for name, point in (result.get("recommended") or {}).items():
        if "exit" not in point:
            continue
        measured = {key: point[key] for key in MEASURED if point.get(key) is not None}
        points[name] = {"criterion": point["exit"], "threshold": float(point["threshold"]), "measured": measured}
    return points


def resolve_point(
    points: Mapping[str, Any] | None, name: str | None, exit_layers: Sequence[int]
) -> tuple[Criterion, float]:
    """Criterion and threshold of the point `name`; full depth where the name is None.

    Raises:
        UserError: no point of that name; those that exist are listed.
    """
    if name is None:
        return Static(), float(len(exit_layers))
    points = points or {}
    if name not in points:
        raise UserError(
            f"an operating point among: {', '.join(points) or 'none'}", f"{name!r}", "Leave it out for full depth."
        )
    point = points[name]
    return from_config(point["criterion"]), float(point["threshold"])
