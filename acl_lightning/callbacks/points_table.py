"""Recommended operating points as a table for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

#: Mark of a quality that is not better than the constant answer's.
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


def point_text(point: Mapping[str, Any]) -> str:
    """Return the threshold and the settings of a described point: `0.9`; `3, bound 0.2`."""
    return ", ".join([f"{point['threshold']:g}", *(f"{name} {value:g}" for name, value in point["settings"].items())])


def points_table(summary: Mapping[str, Any]) -> Table:
    """Return the table of recommended points, between full depth and the best constant answer.

    Args:
        summary: Has `metric`, `full_depth`, `recommended` and `baseline`, as `result.json` does. Points of earlier
            versions, which lack intervals or a comparison with the constant answer, are shown without them.
    """
    table = new_table("Recommended operating points")
    table.add_column("point", overflow="fold")
    table.add_column("criterion", no_wrap=True)
    table.add_column("threshold", justify="right", no_wrap=True)
    for column in (f"{summary['metric']} %\n(95 % CI)", "loss in points", "layer speed-up", "FLOPs speed-up"):
        table.add_column(column, justify="right")
    full = summary["full_depth"][summary["metric"]]
    table.add_row("full depth", "", "", _quality(full))
    for name, point in summary["recommended"].items():
        speeds = (f"{point['layer_speedup']:.2f}x", f"{point['flops_speedup']:.2f}x")
        if not point["leaves_early"]:
            speeds = ("none leaves early", "")
        table.add_row(
            name,
            point["criterion"].replace("calibrated_", "calibrated\n"),  # 80 columns hold no more in a line
            point_text(point).replace(", ", "\n"),
            _quality(point["quality"], weak=not point.get("better_than_baseline", True)) + _interval(point),
            f"{point['loss_points']:.1f}",
            *speeds,
        )
    if summary.get("baseline"):
        name = baseline_name(summary["baseline"]).replace(" ", "\n", 1)
        table.add_row(name, "", "", _quality(summary["baseline"]["quality"]))
    return table


def baseline_name(baseline: Mapping[str, Any]) -> str:
    """Return the name of the constant answer."""
    if baseline["label"] is None:
        return "constant value"
    return "majority class" if baseline["is_majority"] else f"always class {baseline['label']}"


def point_notes(summary: Mapping[str, Any]) -> list[Text]:
    """Return what a reader must know about the points: which are no better than a constant answer, which are beaten."""
    notes = []
    points, baseline = summary["recommended"], summary.get("baseline")
    if baseline:
        name = f"the {baseline_name(baseline)}" if baseline["is_majority"] else baseline_name(baseline)
        weak_points = [one for one in points.values() if not one.get("better_than_baseline", True)]
        if len(baseline["exits_not_better"]) == len(summary["exit_layers"]):
            quality = f"{_quality(baseline['quality']).strip()} % {summary['metric']}"
            sentence = (
                f"The model is not better than {name} ({quality}): no exit beats it beyond chance. No operating point "
                "of it is worth serving. Train longer, or change the learning rate or the data."
            )
            notes.append(Text(sentence, style="bold red"))
        elif weak_points or baseline["exits_not_better"]:
            notes.append(Text(f"{NOT_BETTER} not better than {name} beyond chance (95 % interval of the difference)."))
    for name, point in points.items():
        if point.get("beaten_by"):
            rivals = " and ".join(point["beaten_by"])
            sentence = f"{name}: {rivals} did better and faster on the report half, which takes no part in the choice."
            notes.append(Text(sentence))
    return notes


def _quality(value: float | None, *, weak: bool = False) -> str:
    if value is None:
        return "undefined "
    return f"{100 * value:.1f}{NOT_BETTER if weak else ' '}"


def _interval(point: Mapping[str, Any]) -> str:
    """Return a line with the 95 % interval of the quality in percent; 80 columns do not hold it beside the quality."""
    bounds = point.get("intervals", {}).get("quality", [None])
    if None in bounds:
        return ""
    low, high = (f"{100 * bound:.1f}".replace("100.0", "100") for bound in bounds)
    return f"\n{low}-{high} "
