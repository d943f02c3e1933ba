"""Operating points as an export names them: from a run's result, and back to criterion and threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, Static, from_config
from acl_lightning.legacy import present_point, present_points

#: What of a recommendation is told to those who choose among the points; all of it from the report half.
MEASURED = ("quality", "loss_points", "mean_exit_layer", "layer_speedup", "layer_saving", "flops_speedup")


def served_points(result: Mapping[str, Any]) -> dict[str, Any]:
    """The recommended points of a `result.json`, by name: `criterion` (a recipe), `threshold`, `measured`.

    A result of an older version, which says nothing of how its points leave, has none.

    Raises:
        UserError: a point that this version cannot read.
    """
    points = {}
    try:
        for name, point in (result.get("recommended") or {}).items():
            if "exit" not in point:
                continue
            measured = {key: float(point[key]) for key in MEASURED if point.get(key) is not None}
            points[name] = {"criterion": point["exit"], "threshold": float(point["threshold"]), "measured": measured}
            resolve_point(points, name, ())
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise damaged_result("recommended", error) from error
    return points


def damaged_result(key: str, error: Exception) -> UserError:
    """Return the error for a `result.json` whose entry `key` this version cannot read."""
    if isinstance(error, UserError):
        return error
    return UserError(
        f"`{key}` in result.json as this version writes it",
        f"{type(error).__name__}: {error}",
        "Validate the run again with this version.",
    )


def resolve_point(
    points: Mapping[str, Any] | None, name: str | None, exit_layers: Sequence[int]
) -> tuple[Criterion, float]:
    """Criterion and threshold of the point `name`; full depth where the name is None.

    Raises:
        UserError: no point of that name (those that exist are listed), or one that is damaged.
    """
    if name is None:
        return Static(), float(len(exit_layers))
    points = points or {}
    if name not in points:
        points, name = present_points(points), present_point(name)
    if name not in points:
        raise UserError(
            f"an operating point among: {', '.join(points) or 'none'}", f"{name!r}", "Leave it out for full depth."
        )
    try:
        criterion, threshold = from_config(points[name]["criterion"]), float(points[name]["threshold"])
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
