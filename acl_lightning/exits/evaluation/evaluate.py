"""Evaluation of an exit record: from logits and labels to a `SweepReport`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.registry import to_config
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
from acl_lightning.exits.evaluation.ensembles import Ensemble
from acl_lightning.exits.evaluation.groups import group_counts, histograms, measure_difficulty
from acl_lightning.exits.evaluation.intervals.baseline import constant_baseline, lead_intervals
from acl_lightning.exits.evaluation.intervals.bootstrap import bootstrap
from acl_lightning.exits.evaluation.operating_point import OperatingPoint, full_depth
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.report import (
    Baseline,
    ExitQuality,
    Interval,
    PointIntervals,
    RecommendedPoint,
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
    described, baseline = _describe(report, full_depth(points), selected, exits, names[0])
    described = _with_guarantees(described, points, constraints)
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
        recommended=_with_times(described, selected, times),
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


def _with_guarantees(
    described: Mapping[str, RecommendedPoint], points: Sequence[OperatingPoint], budgets: Sequence[Budget]
) -> dict[str, RecommendedPoint]:
    """Return the points with the confidence of their budgets; full depth with the rows that a faster point needs."""
    full, result = full_depth(points), dict(described)
    for budget in budgets:
        point = result.get(budget.name)
        if budget.confidence is not None and point is not None:
            slowest = (point.criterion_name, point.threshold) == (full.criterion_name, full.threshold)
            rows = budget.rows_needed(points) if slowest else None
            result[budget.name] = replace(point, confidence=budget.confidence, rows_needed=rows)
    return result


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


def _describe(
    report: ExitRecord,
    full: OperatingPoint,
    selected: Mapping[str, OperatingPoint],
    exits: Mapping[str, Tensor],
    metric: str,
) -> tuple[dict[str, RecommendedPoint], Baseline]:
    """Return the selected points with intervals and comparisons, and the best constant answer.

    Args:
        report: The report split.
        full: Full depth.
        selected: Name -> selected point.
        exits: Name -> index of the exit at which each sample of the report split leaves.
        metric: Name of the primary metric.
    """
    answers_EB = predictions(report.logits_EBC)
    none_PB = answers_EB.new_zeros((0, len(report.labels_B)))
    exits_PB = torch.stack(list(exits.values())) if exits else none_PB.long()
    answers = [
        predictions(point.criterion.answers(report.logits_EBC)).gather(0, exits[name][None])
        for name, point in selected.items()
    ]
    answers_PB = torch.cat([none_PB, *answers])
    intervals = _intervals(report, selected, exits_PB, answers_PB, metric)
    baseline = constant_baseline(report.labels_B, report.logits_EBC.shape[-1], partial(quality, metric))
    together_PB = torch.cat([answers_PB, answers_EB])
    leads = lead_intervals(together_PB, report.labels_B, baseline, metric=metric, resamples=RESAMPLES)
    described = {
        name: _recommended(name, selected, full, replace(interval, lead_points=lead))
        for name, interval, lead in zip(selected, intervals, leads, strict=False)
    }
    exit_leads = zip(report.costs.layers_E, leads[len(selected) :], strict=True)
    return described, replace(baseline, exits_not_better=tuple(layer for layer, lead in exit_leads if not lead.low > 0))


def _intervals(
    report: ExitRecord,
    selected: Mapping[str, OperatingPoint],
    exits_PB: Tensor,
    answers_PB: Tensor,
    metric: str,
) -> list[PointIntervals]:
    if not selected:
        return []
    return bootstrap(
        exits_PB,
        predictions(report.logits_EBC),
        report.labels_B,
        metric=metric,
        costs=report.costs,
        static_P=[point.is_static for point in selected.values()],
        answers_PB=answers_PB,
        resamples=RESAMPLES,
    ).intervals()


def _recommended(
    name: str, selected: Mapping[str, OperatingPoint], full: OperatingPoint, intervals: PointIntervals
) -> RecommendedPoint:
    point, lead = selected[name], intervals.lead_points
    assert isinstance(lead, Interval)
    return RecommendedPoint(
        criterion_name=point.criterion_name,
        settings=point.settings,
        threshold=point.threshold,
        quality=point.quality,
        quality_selection=point.quality_selection,
        drop_points=100 * (full.quality - point.quality),
        mean_exit_layer=point.mean_exit_layer,
        layer_speedup=point.layer_speedup,
        layer_saving=point.layer_saving,
        flops_speedup=point.flops_speedup,
        shares=point.shares_E,
        leaves_early=point.leaves_early,
        exit=to_config(point.criterion),
        intervals=intervals,
        better_than_baseline=lead.low > 0,
        beaten_by=tuple(other for other, rival in selected.items() if _beats(rival, point)),
    )


def _beats(rival: OperatingPoint, point: OperatingPoint) -> bool:
    """Return whether `rival` is strictly better and strictly faster on the report split."""
    return rival.quality > point.quality and rival.layer_speedup > point.layer_speedup


def _with_times(
    described: Mapping[str, RecommendedPoint], selected: Mapping[str, OperatingPoint], times: LatencyTable | None
) -> dict[str, RecommendedPoint]:
    if times is None:
        return dict(described)
    points = {}
    for name, point in described.items():
        milliseconds = times.milliseconds(selected[name], selection=False)
        speedup = None if times.plain_milliseconds is None else times.plain_milliseconds / milliseconds
        points[name] = replace(point, milliseconds=milliseconds, measured_speedup=speedup)
    return points
