"""Recommended operating points, and their JSON form in `result.json` and `points.json`.

Importing this module does not import torch. The JSON keeps the key `loss_points` of its first version for the drop
against full depth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acl_lightning.exits.evaluation.operating_point import CurvePoint
from acl_lightning.legacy import present_point

if TYPE_CHECKING:
    from acl_lightning.exits.criteria.base import Criterion

#: Fields of `PointIntervals`, and the keys of those that the JSON names differently.
_INTERVALS = ("quality", "drop_points", "layer_speedup", "flops_speedup", "lead_points")
_STORED = {"drop_points": "loss_points"}

#: Fields of `RecommendedPoint` that the JSON leaves out if they are None.
_OPTIONAL = (
    *("exit", "better_than_baseline", "confidence", "rows_needed"),
    *("budget", "milliseconds", "measured_speedup"),
)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval.

    Attributes:
        low: 2.5th percentile.
        high: 97.5th percentile.
    """

    low: float
    high: float


@dataclass(frozen=True)
class PointIntervals:
    """95 % bootstrap intervals of one operating point on the report split.

    Attributes:
        quality: The metric, a fraction.
        drop_points: Quality of full depth minus quality, in hundredths. Paired: each resample measures both on the same
            samples, so this interval is much narrower than those of the two qualities.
        layer_speedup: Depth / mean exit layer.
        flops_speedup: FLOPs of full depth / mean FLOPs.
        lead_points: Quality minus quality of the best constant answer, in hundredths, paired; None in results of
            earlier versions.
    """

    quality: Interval
    drop_points: Interval
    layer_speedup: Interval
    flops_speedup: Interval
    lead_points: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class RecommendedPoint(CurvePoint):
    """The operating point that a budget selects, measured on the report split.

    Attributes:
        criterion_name: Name of the criterion.
        settings: Settings of the criterion by name.
        threshold: Certainty at which a sample leaves.
        quality_selection: The metric on the selection split.
        drop_points: Quality of full depth minus quality, in hundredths of the metric.
        layer_saving: 1 - mean exit layer / depth.
        shares: Share of the samples that leave at each exit.
        leaves_early: Whether any sample leaves before the last exit.
        exit: Description of the criterion, `{"name": ..., "settings": {...}}`; None in results of earlier versions.
        intervals: 95 % intervals; None in results of earlier versions.
        better_than_baseline: Whether the interval of the lead over the best constant answer lies above 0; None in
            results of earlier versions.
        beaten_by: Names of the recommended points that are better and faster on the report split.
        confidence: Probability with which the budget is kept on new data; None for a budget on the selection split.
        rows_needed: About how many selection rows a guarantee needs for a point that is faster than full depth; None
            without a confidence, if the point is faster, and if no number suffices.
        budget: The budget in words; None for points of the run's own sweep.
        milliseconds: Mean time per sample by measured times; None without measured times.
        measured_speedup: Time of the plain model / `milliseconds`; None without measured times.
    """

    criterion_name: str
    threshold: float
    quality_selection: float
    drop_points: float
    layer_saving: float
    shares: tuple[float, ...]
    leaves_early: bool
    settings: Mapping[str, Any] = field(default_factory=dict)
    exit: Mapping[str, Any] | None = None
    intervals: PointIntervals | None = None
    better_than_baseline: bool | None = None
    beaten_by: tuple[str, ...] = ()
    confidence: float | None = None
    rows_needed: int | None = None
    budget: str | None = None
    milliseconds: float | None = None
    measured_speedup: float | None = None

    def criterion(self) -> Criterion:
        """Build the criterion. This imports torch.

        Raises:
            UserError: The description is missing or damaged, or names a criterion that is not known.
        """
        from acl_lightning.exits.criteria.registry import from_config  # noqa: PLC0415 - keeps torch out of the module

        return from_config(self.exit)


def point_to_json(point: RecommendedPoint) -> dict[str, Any]:
    """Return a point as an entry of `recommended` in `result.json` or of `points.json`, in plain JSON types."""
    content: dict[str, Any] = {
        "criterion": point.criterion_name,
        "settings": point.settings,
        "threshold": point.threshold,
        "quality": point.quality,
        "quality_selection": point.quality_selection,
        "loss_points": point.drop_points,
        "mean_exit_layer": point.mean_exit_layer,
        "layer_speedup": point.layer_speedup,
        "layer_saving": point.layer_saving,
        "flops_speedup": point.flops_speedup,
        "shares": point.shares,
        "leaves_early": point.leaves_early,
    }
    if point.intervals is not None:
        intervals = {_STORED.get(name, name): getattr(point.intervals, name) for name in _INTERVALS}
        content["intervals"] = {name: [both.low, both.high] for name, both in intervals.items() if both is not None}
    content |= {name: getattr(point, name) for name in _OPTIONAL if getattr(point, name) is not None}
    if point.better_than_baseline is not None:
        content["beaten_by"] = point.beaten_by
    return plain(content)


def point_from_json(content: Mapping[str, Any]) -> RecommendedPoint:
    """Read what `point_to_json` wrote, in this version or an earlier version.

    Raises:
        KeyError, TypeError, ValueError: An entry is missing or damaged.
    """
    intervals = content.get("intervals")
    return RecommendedPoint(
        criterion_name=str(content["criterion"]),
        settings=dict(content.get("settings") or {}),
        threshold=number(content["threshold"]),
        quality=number(content["quality"]),
        quality_selection=number(content["quality_selection"]),
        mean_exit_layer=number(content["mean_exit_layer"]),
        layer_speedup=number(content["layer_speedup"]),
        layer_saving=number(content["layer_saving"]),
        flops_speedup=number(content["flops_speedup"]),
        drop_points=number(content["loss_points"]),
        shares=tuple(map(float, content["shares"])),
        leaves_early=bool(content["leaves_early"]),
        exit=content.get("exit"),
        intervals=None if not intervals else _read_intervals(intervals),
        better_than_baseline=content.get("better_than_baseline"),
        beaten_by=tuple(map(present_point, content.get("beaten_by") or ())),
        confidence=_optional(content.get("confidence")),
        rows_needed=content.get("rows_needed"),
        budget=content.get("budget"),
        milliseconds=_optional(content.get("milliseconds")),
        measured_speedup=_optional(content.get("measured_speedup")),
    )


def _read_intervals(content: Mapping[str, Sequence[float]]) -> PointIntervals:
    read = {name: Interval(number(low), number(high)) for name, (low, high) in content.items()}
    return PointIntervals(
        quality=read["quality"],
        drop_points=read["loss_points"],
        layer_speedup=read["layer_speedup"],
        flops_speedup=read["flops_speedup"],
        lead_points=read.get("lead_points"),
    )


def number(value: float | None) -> float:
    """Return a number that was read from JSON; NaN for None, since JSON has no NaN."""
    return math.nan if value is None else float(value)


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping in plain JSON types: lists for tuples, texts as keys, None for numbers that are not finite."""
    return {str(key): _plain(value) for key, value in content.items()}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _optional(value: float | None) -> float | None:
    return None if value is None else float(value)
