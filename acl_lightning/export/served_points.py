"""Operating points of an export: their description from a run's result, and their criterion and threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, Static, from_config, to_config
from acl_lightning.legacy import present_point, present_points

#: Measured values of a point that are exported, all from the report split.
MEASURED = ("quality", "loss_points", "mean_exit_layer", "layer_speedup", "layer_saving", "flops_speedup")


def served_points(result: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the recommended operating points of a run, by name.

    Args:
        result: Content of `result.json`. Results of early versions do not describe the criterion; they have no points.

    Returns:
        Name -> `criterion` (its `name` and `settings`), `threshold`, and `measured`, in plain JSON types.

    Raises:
        UserError: A point is damaged.
    """
    points = {}
    try:
        for name, point in (result.get("recommended") or {}).items():
            if "exit" not in point:
                continue
            measured = {key: float(point[key]) for key in MEASURED if point.get(key) is not None}
            points[name] = {"criterion": point["exit"], "threshold": float(point["threshold"]), "measured": measured}
            criterion, _ = resolve_point(points, name, ())
            points[name]["criterion"] = to_config(criterion)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise damaged_result("recommended", error) from error
    return points


def damaged_result(key: str, error: Exception) -> UserError:
    """Return the error for a `result.json` with a damaged entry `key`."""
    if isinstance(error, UserError):
        return error
    return UserError(
        f"a readable entry `{key}` in result.json",
        f"{type(error).__name__}: {error}",
        "Run `validate` again with this version.",
    )


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
