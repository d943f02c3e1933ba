"""A run's curve computed again from its stored logits: any criterion, with its band and its upper bound."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Criterion,
    Entropy,
    ExitRecord,
    OperatingPoint,
    OraclePoint,
    Patience,
    area_under_curve,
    as_curve,
    band,
    bootstrap,
    criterion_class,
    oracle_curve,
    sweep,
)
from acl_lightning.exits.evaluation.record import FILE_NAME
from acl_lightning.metrics import quality
from acl_lightning.outputs import predictions
from acl_lightning.studies.run_record import Run, SweepPoint


@dataclass(frozen=True)
class StoredCurve:
    """One run's curve on the report half.

    Attributes:
        run: the run, its `points` replaced by what the stored logits give: static exits and the asked criterion.
        record: its logits of the report half.
        criterion: what samples leave by.
        points: the curve: of a criterion with one parameter all its thresholds, of one with more those that nothing
            beats on the selection half.
        static: every exit, were everybody to leave there; the last is full depth.
        oracle: the upper bound; empty for a regression.
    """

    run: Run
    record: ExitRecord
    criterion: Criterion
    points: tuple[OperatingPoint, ...]
    static: tuple[OperatingPoint, ...]
    oracle: tuple[OraclePoint, ...]

    @property
    def area(self) -> float:
        """Area under the quality-speed curve, on its fixed range of layer speed-ups."""
        return area_under_curve([*self.points, self.static[-1]])

    @property
    def leaves_early(self) -> bool:
        """Whether any threshold lets any sample leave before the last exit."""
        return any(point.leaves_early for point in self.points)

    def interval(self, speeds: Sequence[float], speed: str) -> list[tuple[float, float]]:
        """The 95 % band over the samples at the given speed-ups: percentile bootstrap of the report half."""
        exits_PB = torch.stack([self.record.leaving(point.criterion, point.threshold) for point in self.points])
        resampled = bootstrap(
            exits_PB,
            predictions(self.record.logits_EBC),
            self.record.labels_B,
            metric=str(self.run.result["metric"]),
            costs=self.record.costs,
            static_P=[point.is_static for point in self.points],
        )
        return [(one.low, one.high) for one in band(resampled, speeds, speed=speed)]


def named_criterion(name: str) -> Criterion:
    """A criterion by the name it has in tables, with its default settings.

    Raises:
        UserError: There is none of that name, or it needs arguments.
    """
    try:
        return criterion_class(name)()
    except TypeError as error:
        raise UserError(f"a --criterion that needs no arguments, not {name!r}", f"{error}", "Use entropy.") from error


def default_criterion(directory: Path) -> str:
    """Return the name of the criterion that is drawn when none is asked for, one that can read the run's logits.

    Raises:
        UserError: The run has no stored logits.
    """
    return Patience.name if ExitRecord.load(directory / FILE_NAME).is_regression else Entropy.name


def read_curve(directory: str | os.PathLike[str], run: Run, criterion_name: str) -> StoredCurve:
    """Sweep one criterion, and the static exits, over a run's stored logits.

    The criterion has its default settings, whatever the run's own sweep tried: so runs are compared alike.

    Raises:
        UserError: no stored logits, an unknown criterion, or one that cannot read this task's logits.
    """
    record = ExitRecord.load(Path(directory) / FILE_NAME)
    criterion = named_criterion(criterion_name)
    measure = partial(quality, str(run.result["metric"]))
    points = sweep(
        record.logits_EBC,
        record.labels_B,
        [criterion],
        quality=measure,
        selection_B=record.selection_B,
        costs=record.costs,
        gates_EB=record.gates_EB,
    )
    static = tuple(points[: len(record.costs.layers_E)])
    mine = [point for point in points if point.criterion_name == criterion.name]
    curve = tuple(as_curve(mine))
    report = record.split(selection=False)
    oracle = () if report.is_regression else oracle_curve(
        predictions(report.logits_EBC), report.labels_B, quality=measure, costs=report.costs
    )  # fmt: skip
    shown = dict.fromkeys([*static, *curve])
    return StoredCurve(
        replace(run, points=tuple(_sweep_point(point) for point in shown)),
        report,
        criterion,
        curve,
        static,
        tuple(oracle),
    )


def _sweep_point(point: OperatingPoint) -> SweepPoint:
    return SweepPoint(
        point.criterion_name,
        point.threshold,
        point.quality,
        point.mean_exit_layer,
        point.layer_speedup,
        point.flops_speedup,
    )
