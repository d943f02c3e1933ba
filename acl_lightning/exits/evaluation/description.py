"""Recommended operating points in plain JSON types: the entries of `recommended` in `result.json` and `points.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.recipe import recipe
from acl_lightning.exits.criteria.static import Static
from acl_lightning.exits.evaluation.baseline import Baseline, constant_baseline, lead_intervals
from acl_lightning.exits.evaluation.bootstrap import bootstrap
from acl_lightning.exits.evaluation.budgets import full_depth
from acl_lightning.exits.evaluation.operating_point import OperatingPoint
from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.sweep import Quality, variant_of
from acl_lightning.outputs import predictions

#: Number of resamples behind every interval.
RESAMPLES = 1000


def describe(point: OperatingPoint, full: OperatingPoint) -> dict[str, Any]:
    """Return one operating point; `loss_points` is its loss against full depth, in hundredths, on the report half."""
    return {
        "criterion": point.criterion,
        "settings": point.settings,
        "threshold": point.threshold,
        "quality": point.quality,
        "quality_selection": point.quality_selection,
        "loss_points": 100 * (full.quality - point.quality),
        "mean_exit_layer": point.mean_exit_layer,
        "layer_speedup": point.layer_speedup,
        "layer_saving": point.layer_saving,
        "flops_speedup": point.flops_speedup,
        "shares": list(point.shares_E),
        "leaves_early": point.leaves_early,
    }


def describe_recommended(
    record: ExitRecord,
    points: Sequence[OperatingPoint],
    recommended: Mapping[str, OperatingPoint],
    criteria: Sequence[Criterion],
    metric: str,
    quality: Quality,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe the recommended points and the constant answer that they are compared with, on the report half.

    Args:
        record: Exit logits that were swept.
        points: All points of the sweep.
        recommended: Name -> chosen point.
        criteria: Criteria that were swept.
        metric: Name of the primary metric.
        quality: The primary metric.

    Returns:
        The points by name, and the baseline. A point has the entries of `describe`; `exit`, the recipe of its
        criterion; `intervals`, 95 % bootstrap intervals [low, high] of quality, `loss_points` (paired), speed-ups and
        `lead_points` (paired, over the baseline); `better_than_baseline`, whether the lead's whole interval is above 0;
        and `beaten_by`, the names of recommended points that are better and faster on the report half. The baseline has
        the entries of `Baseline` and `exits_not_better`, the layers of the exits that are not better than it.
    """
    full, report = full_depth(points), record.half(selection=False)
    num_classes = record.logits_EBC.shape[-1]
    variants = {name: variant_of(point, criteria, num_classes) for name, point in recommended.items()}
    exits_PB = torch.stack([report.leaving(variants[name], point.threshold) for name, point in recommended.items()])
    answers_EB = predictions(report.logits_EBC)
    resampled = bootstrap(
        exits_PB,
        answers_EB,
        report.labels_B,
        metric=metric,
        costs=record.costs,
        static_P=[point.criterion == Static.name for point in recommended.values()],
        resamples=RESAMPLES,
    )
    baseline = constant_baseline(report.labels_B, num_classes, quality)
    together = torch.cat([answers_EB.gather(0, exits_PB), answers_EB])
    leads = lead_intervals(together, report.labels_B, baseline, metric=metric, resamples=RESAMPLES)
    entries = {}
    for (name, point), intervals, lead in zip(recommended.items(), resampled.intervals(), leads, strict=False):
        bounds = {**asdict(intervals), "lead_points": asdict(lead)}
        entries[name] = {
            **describe(point, full),
            "exit": recipe(variants[name]),
            "intervals": {measure: [both["low"], both["high"]] for measure, both in bounds.items()},
            "better_than_baseline": lead.low > 0,
            "beaten_by": [other for other, rival in recommended.items() if _beats(rival, point)],
        }
    weak = [
        layer for layer, lead in zip(record.costs.layers_E, leads[len(recommended) :], strict=True) if not lead.low > 0
    ]
    return entries, _baseline_entry(baseline, weak)


def _beats(rival: OperatingPoint, point: OperatingPoint) -> bool:
    """Whether `rival` is strictly better and strictly faster on the report half."""
    return rival.quality > point.quality and rival.layer_speedup > point.layer_speedup


def _baseline_entry(baseline: Baseline, weak: list[int]) -> dict[str, Any]:
    return {**asdict(baseline), "exits_not_better": weak}
