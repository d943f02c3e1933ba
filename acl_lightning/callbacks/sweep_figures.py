"""Figures of an exit sweep: quality over speed, and the exits one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from acl_lightning.callbacks.points_table import point_text
from acl_lightning.callbacks.sweep_summary import SweptModule
from acl_lightning.exits import ExitRecord, OperatingPoint, Static, as_curve
from acl_lightning.figures import per_exit_figure, speed_quality_figure
from acl_lightning.figures.speed_quality import Point
from acl_lightning.figures.style import CALIBRATED

#: Criteria that are monotone functions of each other where there are two classes: they trace one curve.
EQUAL_FOR_TWO_CLASSES = frozenset({"confidence", "entropy", "margin"})


def majority_quality(record: ExitRecord, module: SweptModule) -> float | None:
    """Return the primary metric on the report split of always predicting its most frequent class.

    None for a regression, which has no classes. Of classes that are equally frequent the first is predicted.
    """
    if record.is_regression:
        return None
    labels_B = record.half(selection=False).labels_B.long()
    majority = int(labels_B.bincount().argmax())
    return module.quality(module.metric_names[0], labels_B.new_full(labels_B.shape, majority), labels_B)


def sweep_figure(
    points: Sequence[OperatingPoint],
    recommended: Mapping[str, OperatingPoint],
    summary: Mapping[str, Any],
    *,
    num_classes: int,
    title: str,
) -> Figure:
    """Return the figure of quality over speed.

    Args:
        points: All points of the sweep.
        recommended: Name -> recommended point.
        summary: Summary of the sweep: `exit_layers`, `metric`, `majority_quality`, and the intervals in `recommended`.
        num_classes: Number of classes; for two, criteria that trace the same curve are drawn as one.
        title: Task, split and number of samples.
    """
    by_criterion: dict[str, list[OperatingPoint]] = {}
    for point in points:
        by_criterion.setdefault(point.criterion, []).append(point)
    static = dict(zip(summary["exit_layers"], _places(by_criterion.pop(Static.name)), strict=True))
    curves = {name: _places(as_curve(members)) for name, members in by_criterion.items()}
    return speed_quality_figure(
        united(curves) if num_classes == 2 else curves,
        static,
        dict(zip(recommended, _places(recommended.values()), strict=True)),
        metric=summary["metric"],
        title=title,
        intervals={
            name: tuple(point["intervals"]["quality"])
            for name, point in summary["recommended"].items()
            if "intervals" in point
        },
        majority=summary["majority_quality"],
    )


def united(curves: Mapping[str, Sequence[Point]]) -> dict[str, list[Point]]:
    """Give criteria that trace the same curve for two classes the points of all of them, from fast to slow."""
    members = [name for name in curves if name.removeprefix(CALIBRATED) in EQUAL_FOR_TWO_CLASSES]
    together = sorted({point for name in members for point in curves[name]}, reverse=True)
    return {name: together if name in members else list(points) for name, points in curves.items()}


def exits_figure(summary: Mapping[str, Any], title: str) -> Figure:
    """Return the figure of the exits: quality of each, share of samples leaving there, mean exit layer by difficulty.

    Args:
        summary: Summary of the sweep.
        title: Task, split and number of samples.
    """
    point = summary["recommended"][summary["highlighted"]]
    difficulty = summary["difficulty"]
    counts = summary["group_counts"].get("difficulty", {})
    return per_exit_figure(
        summary["exit_layers"],
        {name: [row[name] for row in summary["per_exit"]] for name in summary["metric_names"]},
        point["shares"],
        {int(grade): layer for grade, layer in difficulty["mean_exit_layer"].items()} if difficulty else None,
        operating_point=f"{summary['highlighted']} ({point['criterion']} {point_text(point)})",
        title=title,
        counts_by_grade={int(grade): count for grade, count in counts.items()},
    )


def _places(points: Iterable[OperatingPoint]) -> list[Point]:
    return [(point.layer_speedup, point.quality) for point in points]
