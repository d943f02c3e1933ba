"""Quality-speed curves of several seeds on one grid of speeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from acl_lightning.errors import UserError
from acl_lightning.figures.seed_curves import SeedCurve, seed_curves_figure
from acl_lightning.studies.grouping import Group
from acl_lightning.studies.run_record import Run, SweepPoint
from acl_lightning.studies.spread import spread

GRID_POINTS = 60


def curves_figure(groups: Sequence[Group], criterion: str) -> Figure:
    """The mean curve of each of the compared groups for `criterion`, with its spread over seeds.

    Raises:
        UserError: a run's sweep did not try the criterion.
    """
    result = groups[0].runs[0].result
    title = f"{groups[0].task}, {groups[0].train_rows} training rows, leaving by {criterion}: mean ± standard deviation"
    curves = {group.label: seed_curve(group, criterion) for group in groups}
    return seed_curves_figure(curves, metric=result["metric"], title=title)


def seed_curve(group: Group, criterion: str, speed: str = "layer_speedup") -> SeedCurve:
    """Mean and standard deviation over the group's runs, on the speeds that all of them reach (our reading).

    Each run's points are joined by straight lines over the *mean cost* (1 / speed: the mean exit layer, or the mean
    FLOPs), not over the speed-up: what leaving by one threshold for a share of the samples and by the next for the rest
    attains. Points of one cost are averaged.

    Args:
        group: the runs.
        criterion: whose curve.
        speed: `layer_speedup` or `flops_speedup`.

    Raises:
        UserError: a run's sweep did not try the criterion.
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
        static=static_exits(group.runs, speed),
    )


def static_exits(runs: Sequence[Run], speed: str = "layer_speedup") -> dict[int, tuple[float, float]]:
    """Layer -> mean speed-up and mean quality over the runs, were everybody to leave there."""
    found: dict[int, list[SweepPoint]] = {}
    for run in runs:
        for point in run.points:
            if point.criterion == "static":
                found.setdefault(round(point.mean_exit_layer), []).append(point)
    return {
        layer: (
            float(np.mean([getattr(point, speed) for point in points])),
            _or_nan(spread([point.quality for point in points]).mean),
        )
        for layer, points in sorted(found.items())
    }


def _quality_at(points: Sequence[tuple[float, float]], speeds: NDArray[np.float64]) -> NDArray[np.float64]:
    qualities: dict[float, list[float]] = {}
    for speed, quality in points:
        qualities.setdefault(1 / speed, []).append(quality)
    costs = sorted(qualities)
    return np.interp(1 / speeds, costs, [float(np.mean(qualities[cost])) for cost in costs])


def _points(run: Run, criterion: str) -> list[SweepPoint]:
    points = [point for point in run.points if point.criterion == criterion]
    if not points:
        tried = ", ".join(dict.fromkeys(point.criterion for point in run.points))
        raise UserError(f"{criterion} in the exit sweep of {run.name}", tried or "no criterion", "Choose --criterion.")
    return points


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
