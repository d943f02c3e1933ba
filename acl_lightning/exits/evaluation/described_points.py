"""Description of the recommended operating points: intervals, comparisons, guarantees and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from acl_lightning.exits.criteria.registry import to_config
from acl_lightning.exits.evaluation.budgets import Budget
from acl_lightning.exits.evaluation.budgets.latency_table import LatencyTable
from acl_lightning.exits.evaluation.intervals.baseline import constant_baseline, lead_intervals
from acl_lightning.exits.evaluation.intervals.bootstrap import bootstrap
from acl_lightning.exits.evaluation.operating_point import OperatingPoint, full_depth
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.report import Baseline, Interval, PointIntervals, RecommendedPoint
from acl_lightning.metrics import quality
from acl_lightning.outputs import predictions


def describe(
    report: ExitRecord,
    full: OperatingPoint,
    selected: Mapping[str, OperatingPoint],
    exits: Mapping[str, Tensor],
    metric: str,
    resamples: int,
) -> tuple[dict[str, RecommendedPoint], Baseline]:
    """Return the selected points with intervals and comparisons, and the best constant answer.

    Args:
        report: The report split.
        full: Full depth.
        selected: Name -> selected point.
        exits: Name -> index of the exit at which each sample of the report split leaves.
        metric: Name of the primary metric.
        resamples: Number of bootstrap resamples of every interval.
    """
    answers_EB = predictions(report.logits_EBC)
    none_PB = answers_EB.new_zeros((0, len(report.labels_B)))
    exits_PB = torch.stack(list(exits.values())) if exits else none_PB.long()
    answers = [
        predictions(point.criterion.answers(report.logits_EBC)).gather(0, exits[name][None])
        for name, point in selected.items()
    ]
    answers_PB = torch.cat([none_PB, *answers])
    intervals = _intervals(report, selected, exits_PB, answers_PB, metric, resamples)
    baseline = constant_baseline(report.labels_B, report.logits_EBC.shape[-1], partial(quality, metric))
    together_PB = torch.cat([answers_PB, answers_EB])
    leads = lead_intervals(together_PB, report.labels_B, baseline, metric=metric, resamples=resamples)
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
    resamples: int,
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
        resamples=resamples,
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


def with_guarantees(
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


def with_times(
    described: Mapping[str, RecommendedPoint], selected: Mapping[str, OperatingPoint], times: LatencyTable | None
) -> dict[str, RecommendedPoint]:
    """Return the points with their measured time on the report split; unchanged without `times`."""
    if times is None:
        return dict(described)
    points = {}
    for name, point in described.items():
        milliseconds = times.milliseconds(selected[name], selection=False)
        speedup = None if times.plain_milliseconds is None else times.plain_milliseconds / milliseconds
        points[name] = replace(point, milliseconds=milliseconds, measured_speedup=speedup)
    return points
