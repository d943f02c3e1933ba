"""Measures of a trial by name, on the report split, on the selection split, and on resamples. Imports torch.

Axes: R resamples, P predictors (exits, or operating points), B samples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acl_lightning.exits import OperatingPoint, area_under_curve
from acl_lightning.exits.evaluation.budgets import Budget, MinMeasuredSpeedup, MinSpeedup
from acl_lightning.exits.evaluation.curve import SPEED_RANGE
from acl_lightning.exits.evaluation.intervals.bootstrap import draw_counts
from acl_lightning.exits.evaluation.intervals.resampled_quality import resampled_quality
from acl_lightning.runs.names import EXIT_LATENCY
from acl_lightning.studies.curves.stored_curves import StoredCurve

Array = NDArray[np.float64]

#: (quality (R, P), layer speed-up (R, P)) -> measure (R,).
Combine = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Measured:
    """A measure of one trial.

    Attributes:
        report: Value on the report split.
        selection: Value on the selection split; None for a logged value, which belongs to no split.
        resampled_R: Value on each resample of the report split; None for a logged value.
    """

    report: float
    selection: float | None = None
    resampled_R: Array | None = None


@dataclass(frozen=True)
class _Predictors:
    """Operating points whose qualities make up a measure, and how they are combined."""

    points: Sequence[OperatingPoint]
    combine: Combine
    selection: float


def measure_curves(
    curves: Sequence[StoredCurve], names: Sequence[str], *, resamples: int, seed: int = 0
) -> list[dict[str, Measured]]:
    """Return the measures of trials that are compared; all of them on the same resamples of the report samples.

    A resample draws from all samples that any of the trials has, by their row numbers, with replacement. Trials whose
    report splits differ see the draws of the samples that they have.

    Args:
        curves: Curve of each trial; the same metric for all.
        names: Names of measures, see `known_measure`; logged values are left out.
        resamples: Number of resamples R.
        seed: Seed of the draws.

    Returns:
        Name -> measure for each trial, without the measures that do not apply to it: a mean over exits or an area for a
        model with one exit, an exit that it does not have, a speed-up that it does not reach, and a measured speed-up
        of a run whose times were not measured.

    Raises:
        UserError: The measured times of a run cannot be read, or belong to a model with other exits.
    """
    index_U = torch.unique(torch.cat([curve.record.index_B for curve in curves]))
    trials = [_TrialMeasures(curve, index_U, names) for curve in curves]
    parts: list[dict[str, list[Tensor]]] = [{name: [] for name in trial.predictors} for trial in trials]
    for draws_RU in draw_counts(len(index_U), resamples, seed):
        for trial, part in zip(trials, parts, strict=True):
            for name, values_R in trial.values(draws_RU).items():
                part[name].append(values_R)
    once_1U = torch.ones(1, len(index_U), dtype=torch.float64)
    return [
        {
            name: Measured(float(value_1), trial.predictors[name].selection, torch.cat(part[name]).numpy())
            for name, value_1 in trial.values(once_1U).items()
        }
        for trial, part in zip(trials, parts, strict=True)
    ]


def selection_value(curve: StoredCurve, name: str) -> float | None:
    """Return a measure of a trial on the selection split; None where it does not apply, see `measure_curves`."""
    measure = _predictors(curve, name)
    return None if measure is None else measure.selection


def known_measure(name: str) -> bool:
    """Return whether a name is that of a measure of samples.

    `last_exit`, `exit_K` (the exit of layer K), `mean_exits`, `area`, `speedX`, `flopsX` and `measuredX` (quality at
    the operating point with a layer, FLOPs or measured speed-up of at least X that is best on the selection split).
    """
    return name in {"last_exit", "mean_exits", "area"} or _exit(name) is not None or _speed(name) is not None


def _exit(name: str) -> int | None:
    match = re.fullmatch(r"exit_(\d+)", name)
    return None if match is None else int(match[1])


def _speed(name: str) -> tuple[str, float] | None:
    """Return the kind of speed (`speed`, `flops` or `measured`) and the smallest speed-up that a name states."""
    match = re.fullmatch(r"(speed|flops|measured)(\d+(?:\.\d+)?)", name)
    return None if match is None or float(match[2]) < 1 else (match[1], float(match[2]))


def needs_latency(name: str) -> bool:
    """Return whether a measure needs the times that `latency RUN` measures."""
    speed = _speed(name)
    return speed is not None and speed[0] == "measured"


def _budget(curve: StoredCurve, kind: str, times: float) -> Budget | None:
    """Return the budget of a speed-up; None for measured speed where the times of the run were not measured."""
    if kind != "measured":
        return MinSpeedup(times, "layer_speedup" if kind == "speed" else "flops_speedup")
    table = curve.run.directory / EXIT_LATENCY
    if not table.is_file():
        return None
    budget = MinMeasuredSpeedup(times, str(table))
    budget.check_exits(curve.record.costs.layers_E)
    return budget


class _TrialMeasures:
    """The measures of a trial, as functions of the number of times that each sample was drawn."""

    def __init__(self, curve: StoredCurve, index_U: Tensor, names: Sequence[str]) -> None:
        measures = {name: _predictors(curve, name) for name in names}
        self.predictors = {name: measure for name, measure in measures.items() if measure is not None}
        self.metric, self.record = curve.run.metric, curve.record
        self.position_B = torch.searchsorted(index_U, self.record.index_B)
        points = list(dict.fromkeys(point for measure in self.predictors.values() for point in measure.points))
        if not points:
            return
        exits_PB, answers_PB = curve.exits_and_answers(points)
        layers_PB = torch.tensor(self.record.costs.layers_E, dtype=torch.float64)[exits_PB]
        both_P2B = torch.stack([layers_PB, answers_PB.double()], dim=1)
        distinct_D2B, column_P = torch.unique(both_P2B, dim=0, return_inverse=True)  # equal points are measured once
        self.layers_DB, answers_DB = distinct_D2B.unbind(dim=1)
        self.answers_DB = answers_DB.to(answers_PB)
        self.column_of = dict(zip(points, column_P.tolist(), strict=True))

    def values(self, draws_RU: Tensor) -> dict[str, Tensor]:
        """Return the value (R,) of each measure; NaN where no sample of the trial was drawn."""
        if not self.predictors:
            return {}
        draws_RB = draws_RU[:, self.position_B]
        quality_RD = resampled_quality(self.metric)(self.answers_DB, self.record.labels_B, draws_RB)
        speedup_RD = self.record.costs.depth * draws_RB.sum(dim=1, keepdim=True) / (draws_RB @ self.layers_DB.T)
        values = {}
        for name, measure in self.predictors.items():
            columns = [self.column_of[point] for point in measure.points]
            values[name] = measure.combine(quality_RD[:, columns], speedup_RD[:, columns])
        return values


def _predictors(curve: StoredCurve, name: str) -> _Predictors | None:
    layer, speed = _exit(name), _speed(name)
    if name == "last_exit":
        return _single(curve.exits[-1])
    if layer is not None:
        layers = curve.record.costs.layers_E
        return _single(curve.exits[layers.index(layer)]) if layer in layers else None
    if speed is not None:
        budget = _budget(curve, *speed)
        point = None if budget is None else budget.choose([*curve.static, *curve.points])
        return None if point is None else _single(point)
    if len(curve.exits) == 1:
        return None
    if name == "mean_exits":
        selection = sum(point.quality_selection for point in curve.exits) / len(curve.exits)
        return _Predictors(curve.exits, lambda quality_RP, _: quality_RP.mean(dim=1), selection)
    assert name == "area"
    points = [*curve.points, curve.static[-1]]
    on_selection = [
        replace(point, quality=point.quality_selection, layer_speedup=point.layer_speedup_selection) for point in points
    ]
    return _Predictors(points, resampled_area, area_under_curve(on_selection))


def _single(point: OperatingPoint) -> _Predictors:
    return _Predictors([point], lambda quality_RP, _: quality_RP[:, 0], point.quality_selection)


def resampled_area(quality_RP: Tensor, speedup_RP: Tensor, speed_range: tuple[float, float] = SPEED_RANGE) -> Tensor:
    """Return the area (R,) under the curve of each resample, as `area_under_curve` defines it."""
    low, high = speed_range
    order_RP = speedup_RP.argsort(dim=1, stable=True)
    speedup_RP = speedup_RP.gather(1, order_RP).clamp(low, high)
    quality_RP = quality_RP.gather(1, order_RP).clamp_min(0.0)
    best_RP = quality_RP.flip(1).cummax(dim=1).values.flip(1)  # the best quality at this speed or faster
    steps_RP = torch.diff(speedup_RP, dim=1, prepend=torch.full_like(speedup_RP[:, :1], low))
    return (steps_RP * best_RP).sum(dim=1) / (high - low)
