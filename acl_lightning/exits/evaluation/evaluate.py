"""Evaluation of an exit record: from logits and labels to a `SweepReport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.evaluation.budgets import Budget, MaxDrop
from acl_lightning.exits.evaluation.budgets.latency_table import LatencyTable
from acl_lightning.exits.evaluation.calibration import calibrate_exits
from acl_lightning.exits.evaluation.candidates import (
    check_unfitted,
    measured_ensemble,
    sweep_record,
    swept_criteria,
)
from acl_lightning.exits.evaluation.curve import area_under_curve, as_curve
from acl_lightning.exits.evaluation.described_points import describe, with_guarantees, with_times
from acl_lightning.exits.evaluation.ensembles import Ensemble
from acl_lightning.exits.evaluation.groups import group_counts, histograms, measure_difficulty
from acl_lightning.exits.evaluation.operating_point import OperatingPoint, full_depth
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.report import (
    ExitQuality,
    SplitSizes,
    SweepReport,
)
from acl_lightning.exits.evaluation.selection import as_budgets, check_cross_fit, cross_fit, recommend
from acl_lightning.metrics import check_metrics, quality
from acl_lightning.outputs import predictions

#: Number of bootstrap resamples of every interval.
RESAMPLES = 1000


def evaluate(
    record: ExitRecord,
    criteria: Sequence[Criterion] | None = None,
    budgets: Sequence[Budget | float] = (0, 1, 2),
    metric: str | Sequence[str] = "accuracy",
    *,
    thresholds: Mapping[str, Sequence[float]] | None = None,
    calibrate: bool = False,
    ensemble: Ensemble | None = None,
    cross_fitted: bool = False,
    highlighted: str | None = None,
    label_names: Sequence[str] = (),
    times: LatencyTable | None = None,
) -> SweepReport:
    """Sweep exit criteria over stored logits, select an operating point per budget, and measure everything.

    Args:
        record: Exit logits of a labelled validation set.
        criteria: Criteria to sweep; None: all criteria that can read the record. Static exits are always swept.
            Criteria that cannot read a regression are left out for a regression.
        budgets: Budgets; a number means `MaxDrop` of so many points.
        metric: Name of the task's metric, see `acl_lightning.metrics`; of several names the first is the primary
            metric.
        thresholds: Grids to use instead of the criteria's own grids, by criterion name. Others are ignored.
        calibrate: Divide the logits of each exit by a temperature, fitted on the selection split, before the criteria
            read them.
        ensemble: Rule for the weights of an ensemble of exits, fitted on the selection split; the criteria read its
            logits and samples are answered by it, see `Ensembled`. Static exits and full depth stay single exits. With
            `calibrate` the temperatures are those of the ensemble. None: every exit answers alone.
        cross_fitted: Also report the budgets with both splits taking turns. Requires that both are parts of the
            validation split.
        highlighted: Name of the operating point to describe exit by exit; None: the point with the acceptable drop
            nearest to 1 point, else the first.
        label_names: Names of the classes, for tables and figures.
        times: Measured times, to state the time of each recommended point.

    Returns:
        The report; its `points` are all points of the sweep.

    Raises:
        UserError: An unknown metric, an empty split, calibration of a regression, a criterion that cannot read the
            record, thresholds out of range, budgets that do not fit the exits, the metric or the fits, or
            cross-fitting with selection rows from the training split.
    """
    if cross_fitted:
        check_cross_fit(record.selection_from)
    names = (metric,) if isinstance(metric, str) else tuple(metric)
    check_metrics(names)
    constraints = as_budgets(budgets)
    for budget in constraints:
        budget.check_exits(record.costs.layers_E)
        budget.check_metric(names[0])
        check_unfitted(budget, calibrate=calibrate, ensemble=ensemble)

    def swept(turn: ExitRecord) -> list[OperatingPoint]:
        criteria_of_turn = swept_criteria(turn, criteria, calibrate=calibrate, ensemble=ensemble)
        return sweep_record(turn, criteria_of_turn, names[0], thresholds or {})

    points = swept(record)
    selected = recommend(points, constraints)
    highlighted = highlighted if highlighted in selected else _nearest_to_one_point(constraints, selected)
    report = record.split(selection=False)
    exits = {name: report.leaving(point.criterion, point.threshold) for name, point in selected.items()}
    described, baseline = describe(report, full_depth(points), selected, exits, names[0], RESAMPLES)
    described = with_guarantees(described, points, constraints)
    turns = None
    if cross_fitted:
        turns = cross_fit(points, swept(replace(record, selection_B=~record.selection_B)), constraints)
    return SweepReport(
        metric_names=names,
        exit_layers=record.costs.layers_E,
        depth=record.costs.depth,
        samples=SplitSizes(int(record.selection_B.sum()), len(report.labels_B), record.selection_from),
        mean_num_tokens=record.num_tokens_B.double().mean().item(),
        per_exit=_per_exit(report, names),
        area_under_curve=_areas(points),
        leaves_early=any(point.leaves_early for point in points if not point.is_static),
        recommended=with_times(described, selected, times),
        baseline=baseline,
        highlighted=highlighted,
        difficulty=None if highlighted is None else measure_difficulty(report, exits[highlighted]),
        unreachable=tuple(budget.name for budget in constraints if budget.name not in selected),
        calibration=calibrate_exits(record),
        calibrated=calibrate,
        ensemble=None if ensemble is None else measured_ensemble(record, ensemble, names[0]),
        exit_histogram={} if highlighted is None else histograms(report, exits[highlighted]),
        group_counts=group_counts(report),
        label_names=tuple(label_names),
        num_classes=record.logits_EBC.shape[-1],
        resamples=RESAMPLES,
        cross_fitted=turns,
        points=tuple(points),
    )


def _nearest_to_one_point(budgets: Sequence[Budget], selected: Mapping[str, OperatingPoint]) -> str | None:
    drops = [budget for budget in budgets if isinstance(budget, MaxDrop) and budget.name in selected]
    if drops:
        return min(drops, key=lambda budget: abs(budget.points - 1)).name
    return next(iter(selected), None)


def _per_exit(report: ExitRecord, metrics: Sequence[str]) -> tuple[ExitQuality, ...]:
    return tuple(
        ExitQuality(layer, {name: quality(name, predictions(logits_BC), report.labels_B) for name in metrics})
        for layer, logits_BC in zip(report.costs.layers_E, report.logits_EBC, strict=True)
    )


def _areas(points: Sequence[OperatingPoint]) -> dict[str, float]:
    """Return the area under the curve of each criterion and full depth."""
    full = full_depth(points)
    by_criterion: dict[str, list[OperatingPoint]] = {}
    for point in points:
        by_criterion.setdefault(point.criterion_name, []).append(point)
    return {name: area_under_curve([*as_curve(members), full]) for name, members in by_criterion.items()}
