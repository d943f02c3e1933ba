"""Figures of a sweep report: quality over speed, single exits, exit layers by group, and calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from matplotlib.figure import Figure

from acl_lightning.exits import SweepReport, figure_points
from acl_lightning.exits.evaluation.report import Bin, ExitCalibration
from acl_lightning.figures import exit_histogram_figure, per_exit_figure, reliability_figure, speed_quality_figure
from acl_lightning.figures.speed_quality import Point
from acl_lightning.figures.style import inner_name
from acl_lightning.runs.names import EXIT_HISTOGRAM, PER_EXIT, RELIABILITY, SPEED_QUALITY
from acl_lightning.tables import point_text

T = TypeVar("T")

#: Criteria that are monotone functions of each other for two classes, so that they trace the same curve.
EQUAL_FOR_TWO_CLASSES = frozenset({"confidence", "entropy", "margin"})


def report_figures(report: SweepReport, title: str) -> dict[str, Figure]:
    """Return the figures of a report by name.

    `speed_quality` always; `per_exit` and `exit_histogram` where an operating point is highlighted; `reliability` where
    the exits were calibrated.

    Args:
        report: A report with its points.
        title: Task, split and number of samples.
    """
    figures = {SPEED_QUALITY: sweep_figure(report, title)}
    if report.highlighted is not None:
        figures[PER_EXIT] = exits_figure(report, report.highlighted, title)
        if report.exit_histogram:
            figures[EXIT_HISTOGRAM] = groups_figure(report, report.highlighted, title)
    if report.calibration:
        figures[RELIABILITY] = calibration_figure(report.calibration, title)
    return figures


def sweep_figure(report: SweepReport, title: str) -> Figure:
    """Return the figure of quality over speed.

    Args:
        report: A report with its points.
        title: Task, split and number of samples.
    """
    places = figure_points(report.points)
    curves = places["curves"]
    baseline = report.baseline
    return speed_quality_figure(
        united(curves) if report.num_classes == 2 else curves,
        places["static"],
        {name: (point.layer_speedup, point.quality) for name, point in report.recommended.items()},
        metric=report.metric,
        title=title,
        intervals={
            name: (point.intervals.quality.low, point.intervals.quality.high)
            for name, point in report.recommended.items()
            if point.intervals is not None
        },
        baseline=None if baseline is None else baseline.quality,
        baseline_name="majority class" if baseline is not None and baseline.is_majority else "best constant answer",
    )


def united(curves: Mapping[str, Sequence[Point]]) -> dict[str, list[Point]]:
    """Give criteria that trace the same curve for two classes the points of all of them, from fast to slow."""
    members = [name for name in curves if inner_name(name) in EQUAL_FOR_TWO_CLASSES]
    together = sorted({point for name in members for point in curves[name]}, reverse=True)
    return {name: together if name in members else list(points) for name, points in curves.items()}


def exits_figure(report: SweepReport, highlighted: str, title: str) -> Figure:
    """Return the figure of the exits: quality of each, share of samples leaving there, mean exit layer by difficulty.

    Args:
        report: A report.
        highlighted: Name of the operating point at which the samples leave.
        title: Task, split and number of samples.
    """
    point, difficulty = report.recommended[highlighted], report.difficulty
    counts = report.group_counts.get("difficulty", {})
    return per_exit_figure(
        report.exit_layers,
        {name: [exit_.metrics[name] for exit_ in report.per_exit] for name in report.metric_names},
        point.shares,
        None if difficulty is None else difficulty.mean_exit_layer,
        operating_point=f"{highlighted} ({point.criterion_name} {point_text(point)})",
        title=title,
        counts_by_grade={int(grade): count for grade, count in counts.items()},
    )


def groups_figure(report: SweepReport, highlighted: str, title: str) -> Figure:
    """Return the figure of the exit layers by class and by difficulty, with the names of the classes.

    Args:
        report: A report with an exit histogram.
        highlighted: Name of the operating point at which the samples leave.
        title: Task, split and number of samples.
    """
    return exit_histogram_figure(
        report.exit_layers,
        _with_label_names(report.exit_histogram, report.label_names),
        operating_point=highlighted,
        title=title,
        counts=_with_label_names(report.group_counts, report.label_names),
    )


def calibration_figure(exits: Sequence[ExitCalibration], title: str) -> Figure:
    """Return the reliability diagrams of the exits, before and after calibration.

    Args:
        exits: Calibration of each exit.
        title: Task, split and number of samples.
    """
    return reliability_figure(
        {exit_.layer: _bins(exit_.bins) for exit_ in exits},
        {exit_.layer: _bins(exit_.bins_calibrated) for exit_ in exits},
        {exit_.layer: (exit_.error, exit_.error_calibrated) for exit_ in exits},
        title=title,
    )


def _bins(bins: Iterable[Bin]) -> list[tuple[float, float, int]]:
    return [(bin_.confidence, bin_.accuracy, bin_.count) for bin_ in bins]


def _with_label_names(groups: Mapping[str, Mapping[str, T]], names: Sequence[str]) -> dict[str, dict[str, T]]:
    """Replace the numbers of the classes by their names, where they have names."""
    return {
        kind: {
            names[int(group)] if kind == "class" and int(group) < len(names) else group: value
            for group, value in members.items()
        }
        for kind, members in groups.items()
    }
