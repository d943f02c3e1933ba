"""A quality-speed curve: its useful points and its area."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.static import Static
from acl_lightning.exits.evaluation.operating_point import OperatingPoint

#: The speed-ups over which `area_under_curve` averages.
SPEED_RANGE = (1.0, 3.0)


def pareto_front(points: Sequence[OperatingPoint], *, selection: bool = False) -> list[OperatingPoint]:
    """The points that no other point beats in layer speed-up and quality, from slow to fast.

    Quality falls strictly along the front. Of points alike in both, the first; points without a quality (NaN), never.
    A criterion with two parameters gives a cloud of points; its front is its curve.

    Args:
        points: of one sweep.
        selection: compare them on the selection half. What such a front reports of the other half is not flattered by
            the choice among many points, and its quality may rise here and there.
    """
    front: list[OperatingPoint] = []
    best = -math.inf
    measured = [
        (point.layer_speedup_selection, point.quality_selection, point)
        if selection
        else (point.layer_speedup, point.quality, point)
        for point in points
    ]
    defined = (one for one in measured if not math.isnan(one[1]))
    for _, quality, point in sorted(defined, key=lambda one: (-one[0], -one[1])):
        if quality > best:
            front.append(point)
            best = quality
    return front[::-1]


def as_curve(points: Sequence[OperatingPoint]) -> list[OperatingPoint]:
    """The points of one criterion as a line: over its thresholds, or a family's front on the selection half.

    The front of a family is not taken on the report half: the best of many points there would flatter it against a
    criterion that has one threshold per speed.
    """
    alike = all(point.settings == points[0].settings for point in points)
    return list(points) if alike else pareto_front(points, selection=True)


def area_under_curve(points: Sequence[OperatingPoint], speed_range: tuple[float, float] = SPEED_RANGE) -> float:
    """Mean over the layer speed-ups s in `speed_range` of the best quality to be had at s or faster (our reading).

    `1/(b-a) * integral from a to b of max{ quality_i : layer_speedup_i >= s } ds`, exact for this step function. A
    speed that no point reaches counts as quality 0, and so does a quality below 0 (a correlation). In units
    of the quality. Adding a point never lowers it.

    Raises:
        UserError: an empty range.
    """
    low, high = speed_range
    if not low < high:
        raise UserError("a speed range (low, high) with low < high", f"{speed_range}", "Give e.g. (1, 3).")
    area, reached = 0.0, low
    for point in pareto_front(points):
        step = min(point.layer_speedup, high)
        if step > reached:
            area += (step - reached) * max(point.quality, 0.0)
            reached = step
    return area / (high - low)


class FigurePoints(TypedDict):
    """Arguments of `acl_lightning.figures.speed_quality_figure`; a point is (layer speed-up, quality)."""

    curves: dict[str, list[tuple[float, float]]]
    static: dict[int, tuple[float, float]]
    recommended: dict[str, tuple[float, float]]


def figure_points(
    points: Sequence[OperatingPoint], recommended: Mapping[str, OperatingPoint] | None = None
) -> FigurePoints:
    """Arrange what `sweep` and `recommend` return for `figures.speed_quality_figure`.

    `speed_quality_figure(**figure_points(points, recommend(points)), metric="accuracy", title="mine")` draws it.

    Args:
        points: What `sweep` returned.
        recommended: What `recommend` returned; None marks no point.
    """
    by_criterion: dict[str, list[OperatingPoint]] = {}
    for point in points:
        by_criterion.setdefault(point.criterion, []).append(point)
    static = by_criterion.pop(Static.name, [])
    return FigurePoints(
        curves={name: [_place(point) for point in as_curve(members)] for name, members in by_criterion.items()},
        static={round(point.mean_exit_layer): _place(point) for point in static},
        recommended={name: _place(point) for name, point in (recommended or {}).items()},
    )


def _place(point: OperatingPoint) -> tuple[float, float]:
    return point.layer_speedup, point.quality
