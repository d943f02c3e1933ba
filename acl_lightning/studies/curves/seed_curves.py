"""Mean speed-quality curves over the runs of a group, on a common grid of speed-ups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from acl_lightning.errors import UserError
from acl_lightning.figures.seed_curves import SeedCurve, seed_curves_figure
from acl_lightning.runs.records import SweepRow
from acl_lightning.studies.grouping import Group
from acl_lightning.studies.reading import Run
from acl_lightning.studies.statistics import spread

#: Number of speed-ups at which a curve is evaluated.
GRID_POINTS = 60


def curves_figure(groups: Sequence[Group], criterion: str) -> Figure:
    """Draw the mean curve of each of the compared groups for a criterion, with its spread over seeds.

    Raises:
        UserError: The criterion is not in the exit sweep of a run.
    """
    title = f"{groups[0].data}, criterion {criterion}: mean ± standard deviation over seeds"
    curves = {group.label: seed_curve(group, criterion) for group in groups}
    return seed_curves_figure(curves, metric=groups[0].runs[0].metric, title=title)


def seed_curve(group: Group, criterion: str, speed: str = "layer_speedup") -> SeedCurve:
    """Return mean and standard deviation over the runs, at speed-ups that all runs reach.

    Each run's points are interpolated linearly over the mean cost (1 / speed-up: the mean exit layer, or the mean
    FLOPs), since applying one threshold to a share of the samples and the next threshold to the rest gives the points
    of that line. Points of equal cost are averaged. (The papers do not say how they average; this is our reading.)

    Args:
        group: The runs.
        criterion: Name of the criterion.
        speed: `layer_speedup` or `flops_speedup`.

    Raises:
        UserError: The criterion is not in the exit sweep of a run.
    """
    runs = [[(getattr(point, speed), point.quality) for point in _points(run, criterion)] for run in group.runs]
    slowest = max(min(reached for reached, _ in points) for points in runs)
    fastest = min(max(reached for reached, _ in points) for points in runs)
    speeds = np.linspace(slowest, max(slowest, fastest), GRID_POINTS if fastest > slowest else 1)
    values = np.array([_quality_at(points, speeds) for points in runs])
    columns = [spread(column.tolist()) for column in values.T]
    return SeedCurve(
        seeds=len(runs),
        speeds=speeds.tolist(),
        mean=[_or_nan(column.mean) for column in columns],
        std=[_or_nan(column.std) for column in columns] if len(runs) > 1 else None,
        static=mean_static_exits(group.runs, speed),
    )


def mean_static_exits(runs: Sequence[Run], speed: str = "layer_speedup") -> dict[int, tuple[float, float]]:
    """Return layer -> mean speed-up and mean quality over the runs if all samples leave there."""
    by_layer: dict[int, list[SweepRow]] = {}
    for run in runs:
        for point in run.points:
            if point.criterion == "static":
                by_layer.setdefault(round(point.mean_exit_layer), []).append(point)
    return {
        layer: (
            float(np.mean([getattr(point, speed) for point in points])),
            _or_nan(spread([point.quality for point in points]).mean),
        )
        for layer, points in sorted(by_layer.items())
    }


def _quality_at(points: Sequence[tuple[float, float]], speeds: NDArray[np.float64]) -> NDArray[np.float64]:
    qualities: dict[float, list[float]] = {}
    for speed, quality in points:
        qualities.setdefault(1 / speed, []).append(quality)
    costs = sorted(qualities)
    return np.interp(1 / speeds, costs, [float(np.mean(qualities[cost])) for cost in costs])


def _points(run: Run, criterion: str) -> list[SweepRow]:
    points = [point for point in run.points if point.criterion == criterion]
    if not points:
        swept = ", ".join(dict.fromkeys(point.criterion for point in run.points))
        raise UserError(
            f"{criterion} in the exit sweep of {run.name}", swept or "no criterion", "Set --criterion to one of these."
        )
    return points


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
