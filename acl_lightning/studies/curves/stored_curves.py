"""Curve of a run, swept again from its stored logits with any criterion: points, band and oracle. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from acl_lightning.exits import (
    Criterion,
    CurvePoint,
    Ensembled,
    Entropy,
    ExitRecord,
    LearntEnsemble,
    OperatingPoint,
    OraclePoint,
    Patience,
    Static,
    area_under_curve,
    as_curve,
    band,
    bootstrap,
    elue_score,
    exit_index,
    named_criterion,
    oracle_curve,
    sweep,
)
from acl_lightning.exits.evaluation.curve import SPEED_RANGE
from acl_lightning.metrics import quality
from acl_lightning.outputs import predictions
from acl_lightning.runs.records import SweepRow, read_exit_logits
from acl_lightning.studies.reading import Run

#: Beginning of the names of criteria on ensembles of exits.
ENSEMBLE = "ensemble_"

__all__ = ["SPEED_RANGE", "StoredCurve", "check_criterion", "default_criterion", "named_criterion", "read_curve"]


@dataclass(frozen=True)
class StoredCurve:
    """Curve of a run on the report split.

    Attributes:
        run: The run; its `points` are the static exits and the points of the criterion, from the stored logits.
        record: Its stored logits of the report split.
        criterion: Criterion that decides where samples leave.
        points: Points of the curve. A criterion with one parameter has all its thresholds, a criterion with more has
            the Pareto-optimal points of the selection split.
        static: Every exit if all samples leave there; the last is full depth.
        oracle: Upper bound of the curve; empty for a regression.
        exits: Every exit if all samples leave there, with the answers that the criterion gives: `static`, or for an
            ensemble of exits the ensembles up to each exit.
    """

    run: Run
    record: ExitRecord
    criterion: Criterion
    points: tuple[OperatingPoint, ...]
    static: tuple[OperatingPoint, ...]
    oracle: tuple[OraclePoint, ...]
    exits: tuple[OperatingPoint, ...]

    @property
    def area(self) -> float:
        """Area under the curve on a fixed range of layer speed-ups."""
        return area_under_curve([*self.points, self.static[-1]])

    @property
    def leaves_early(self) -> bool:
        """Whether any threshold lets any sample leave before the last exit."""
        return any(point.leaves_early for point in self.points)

    def elue(self, reference: Sequence[CurvePoint]) -> float:
        """Return the ELUE-style score: the mean difference to a reference curve at the same FLOPs, in points."""
        return elue_score(self.points, reference)

    def exits_and_answers(self, points: Sequence[OperatingPoint]) -> tuple[Tensor, Tensor]:
        """Return the index of the exit at which each sample leaves at each point, and its answer there, both (P, B).

        Args:
            points: One point or more.
        """
        places: dict[OperatingPoint, tuple[Tensor, Tensor]] = {}
        for criterion in dict.fromkeys(point.criterion for point in points):
            alike = [point for point in points if point.criterion == criterion]
            thresholds_T = torch.tensor([point.threshold for point in alike], dtype=torch.float64)
            exits_TB = exit_index(self.record.certainty(criterion), thresholds_T)
            answers_TB = predictions(criterion.answers(self.record.logits_EBC)).gather(0, exits_TB)
            places |= dict(zip(alike, zip(exits_TB, answers_TB, strict=True), strict=True))
        exits, answers = zip(*(places[point] for point in points), strict=True)
        return torch.stack(exits), torch.stack(answers)

    def interval(self, speeds: Sequence[float], speed: str) -> list[tuple[float, float]]:
        """Return the 95 % percentile bootstrap interval over samples at each of the speed-ups."""
        exits_PB, answers_PB = self.exits_and_answers(self.points)
        resampled = bootstrap(
            exits_PB,
            predictions(self.record.logits_EBC),
            self.record.labels_B,
            metric=self.run.metric,
            costs=self.record.costs,
            static_P=[point.is_static for point in self.points],
            answers_PB=answers_PB,
        )
        return [(interval.low, interval.high) for interval in band(resampled, speeds, speed=speed)]


def default_criterion(run: Run) -> str:
    """Return the name of the default criterion for the run's logits: entropy, and for a regression patience.

    Raises:
        UserError: The run has no stored logits.
    """
    return Patience.name if read_exit_logits(run.directory).is_regression else Entropy.name


def check_criterion(name: str) -> None:
    """Raise `UserError` unless `fitted_criterion` knows the name."""
    named_criterion(name.removeprefix(ENSEMBLE))


def fitted_criterion(name: str, record: ExitRecord) -> Criterion:
    """Return a criterion by its name; `ensemble_NAME` reads an ensemble of exits.

    Args:
        name: Name of a criterion, or `ensemble_` and the name.
        record: Exit logits, on whose selection split the weights of the ensemble are fitted (`LearntEnsemble`).

    Raises:
        UserError: No criterion has that name, it needs arguments, or the record is that of a regression.
    """
    inner = name.removeprefix(ENSEMBLE)
    criterion = named_criterion(inner)
    if inner == name:
        return criterion
    selection = record.split(selection=True)
    return Ensembled(criterion, LearntEnsemble().weights(selection.logits_EBC, selection.labels_B))


def read_curve(run: Run, criterion_name: str) -> StoredCurve:
    """Sweep a criterion and the static exits over the stored logits of a run.

    The criterion has its default settings, independent of the run's own sweep, so that runs are comparable.

    Raises:
        UserError: The run has no stored logits, or the criterion is unknown or does not apply to the task.
    """
    record = read_exit_logits(run.directory)
    criterion = fitted_criterion(criterion_name, record)
    measure = partial(quality, run.metric)
    ensemble = [Ensembled(Static(), criterion.weights_EE)] if isinstance(criterion, Ensembled) else []
    points = sweep(
        record.logits_EBC,
        record.labels_B,
        [criterion, *ensemble],
        quality=measure,
        selection_B=record.selection_B,
        costs=record.costs,
        gates_EB=record.gates_EB,
        cosines_EBC=record.cosines_EBC,
    )
    static = tuple(points[: len(record.costs.layers_E)])
    curve = tuple(as_curve([point for point in points if point.criterion_name == criterion.name]))
    exits = tuple(point for point in points if point.criterion in ensemble) or static
    report = record.split(selection=False)
    oracle = () if report.is_regression else oracle_curve(
        predictions(report.logits_EBC), report.labels_B, quality=measure, costs=report.costs
    )  # fmt: skip
    distinct = dict.fromkeys([*static, *curve])
    return StoredCurve(
        replace(run, points=tuple(_sweep_point(point) for point in distinct)),
        report,
        criterion,
        curve,
        static,
        tuple(oracle),
        exits,
    )


def _sweep_point(point: OperatingPoint) -> SweepRow:
    return SweepRow(
        criterion=point.criterion_name,
        threshold=point.threshold,
        quality=point.quality,
        mean_exit_layer=point.mean_exit_layer,
        layer_speedup=point.layer_speedup,
        flops_speedup=point.flops_speedup,
    )
