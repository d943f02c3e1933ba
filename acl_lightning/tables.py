"""Tables for a terminal of 80 columns: the recommended operating points of a report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from acl_lightning.exits import Baseline, RecommendedPoint, SweepReport
from acl_lightning.exits.evaluation.operating_point import STATIC

#: Mark of a quality that is not better than that of the constant answer.
NOT_BETTER = "*"


def new_table(title: str) -> Table:
    """Return an empty table in the style of this program."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0, 0, 1),
    )


def point_text(point: RecommendedPoint) -> str:
    """Return the threshold and the settings of a point: `0.9`; `3, bound 0.2`."""
    return ", ".join([f"{point.threshold:g}", *(f"{name} {value:g}" for name, value in point.settings.items())])


def points_table(report: SweepReport) -> Table:
    """Return the table of recommended points, between full depth and the best constant answer.

    Points of earlier versions, which have no intervals or no comparison with the constant answer, are shown without
    them.
    """
    table = new_table("Recommended operating points")
    table.add_column("point", overflow="fold")
    table.add_column("criterion", no_wrap=True)
    table.add_column("threshold", justify="right", no_wrap=True)
    for column in (f"{report.metric} %\n(95 % CI)", "drop in points", "layer speed-up", "FLOPs speed-up"):
        table.add_column(column, justify="right")
    table.add_row("full depth", "", "", quality_text(report.full_depth[report.metric]))
    for name, point in report.recommended.items():
        speeds = (f"{point.layer_speedup:.2f}x", f"{point.flops_speedup:.2f}x")
        if not point.leaves_early:
            speeds = ("none leaves early", "")
        table.add_row(
            name,
            re.sub("(ensemble|calibrated|prototype)_", r"\1\n", point.criterion_name),  # 80 columns hold no more
            point_text(point).replace(", ", "\n"),
            quality_text(point.quality, weak=point.better_than_baseline is False) + _interval(point),
            f"{point.drop_points:.1f}",
            *speeds,
        )
    if report.baseline is not None:
        name = baseline_name(report.baseline).replace(" ", "\n", 1)
        table.add_row(name, "", "", quality_text(report.baseline.quality))
    return table


def baseline_name(baseline: Baseline) -> str:
    """Return the name of the constant answer."""
    if baseline.label is None:
        return "constant value"
    return "majority class" if baseline.is_majority else f"always class {baseline.label}"


def point_notes(report: SweepReport) -> list[Text]:
    """Return notes on points that are not better than a constant answer, and on points that another point beats."""
    notes = [] if report.baseline is None else _baseline_notes(report, report.baseline)
    return notes + _beaten_notes(report.recommended) + _guarantee_notes(report)


def _baseline_notes(report: SweepReport, baseline: Baseline) -> list[Text]:
    has_article = baseline.is_majority or baseline.label is None
    name = f"the {baseline_name(baseline)}" if has_article else baseline_name(baseline)
    if len(baseline.exits_not_better) == len(report.exit_layers):
        quality = f"{quality_text(baseline.quality).strip()} % {report.metric}"
        sentence = (
            f"The model is not better than {name} ({quality}): no exit beats it beyond chance. Do not serve any of its "
            "operating points. Train longer, or change the learning rate or the data."
        )
        return [Text(sentence, style="bold red")]
    weak = any(point.better_than_baseline is False for point in report.recommended.values())
    if not weak and not baseline.exits_not_better:
        return []
    return [Text(f"{NOT_BETTER} not better than {name} beyond chance (95 % interval of the difference).")]


def _beaten_notes(points: Mapping[str, RecommendedPoint]) -> list[Text]:
    return [
        Text(
            f"{name}: {' and '.join(point.beaten_by)} did better and faster on the report split, by which no point "
            "is selected."
        )
        for name, point in points.items()
        if point.beaten_by
    ]


def _guarantee_notes(report: SweepReport) -> list[Text]:
    """Return what points with a confidence guarantee, or how many rows a guarantee needs."""
    notes, rows = [], report.samples.selection
    for name, point in report.recommended.items():
        if point.confidence is None:
            continue
        percent = f"{100 * point.confidence:g} % confidence"
        if (point.criterion_name, point.threshold) != (STATIC, len(report.exit_layers)):
            sentence = f"{name}: {rows} selection rows certify its drop with {percent} for data of the same kind."
        elif point.rows_needed is None:
            sentence = f"{name}: no faster point can be certified with {percent}; all lose too much on {rows} rows."
        else:
            sentence = (
                f"{name}: {rows} selection rows certify no faster point with {percent}; about {point.rows_needed} "
                "are needed. Select on more rows (data.selection=train, data.selection_rows), allow a larger drop, or "
                "sweep fewer criteria."
            )
        notes.append(Text(sentence))
    return notes


def quality_text(value: float, *, weak: bool = False) -> str:
    """Return a quality in percent.

    Args:
        value: Quality, a fraction.
        weak: Whether to mark it as not better than the constant answer.
    """
    if math.isnan(value):
        return "undefined "
    return f"{100 * value:.1f}{NOT_BETTER if weak else ' '}"


def _interval(point: RecommendedPoint) -> str:
    """Return a line with the 95 % interval of the quality in percent; 80 columns do not hold it beside the quality."""
    if point.intervals is None or math.isnan(point.intervals.quality.low):
        return ""
    bounds = point.intervals.quality.low, point.intervals.quality.high
    low, high = (f"{100 * bound:.1f}".replace("100.0", "100") for bound in bounds)
    return f"\n{low}-{high} "
