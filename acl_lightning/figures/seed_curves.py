"""Figure of quality over speed, averaged over seeds, for several groups of runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acl_lightning.figures.layout import add_title, legend_below, name_layers, wrapped
from acl_lightning.figures.point_labels import PointLabel, place_labels
from acl_lightning.figures.speed_quality import Point
from acl_lightning.figures.style import FAINT, INK, Style, criterion_styles, distinct_styles, plain

LAYER_SPEEDUP = "layer speed-up (depth / mean exit layer)"

#: Largest number of curves with bands: more bands on top of each other hide the curves.
MAX_BANDS = 4


@dataclass(frozen=True)
class SeedCurve:
    """Curve of a group of runs that differ in the seed. Qualities are fractions.

    Attributes:
        seeds: Number of runs n.
        speeds: Speed-ups, ascending.
        mean: Mean quality at each speed.
        std: Sample standard deviation at each speed; None where n is 1.
        static: Layer -> mean point if all samples leave there.
        interval: Low and high quality of a single run at each speed; None where they are unknown.
        oracle: Points of the upper bound, from fast to slow; empty where there is none.
    """

    seeds: int
    speeds: Sequence[float]
    mean: Sequence[float]
    std: Sequence[float] | None
    static: Mapping[int, Point]
    interval: Sequence[tuple[float, float]] | None = None
    oracle: Sequence[Point] = ()

    def bounds(self) -> list[tuple[float, float]]:
        """Return low and high quality of the band: mean ± standard deviation, or the interval of a single run."""
        if self.std is not None:
            return [(mean - std, mean + std) for mean, std in zip(self.mean, self.std, strict=True)]
        return list(self.interval or [])


def seed_curves_figure(
    curves: Mapping[str, SeedCurve],
    *,
    metric: str,
    title: str,
    speed: str = LAYER_SPEEDUP,
    cut: Mapping[int, Point] | None = None,
) -> Figure:
    """Draw a mean curve per group, its band, its upper bound, and the static exits of the group.

    Bands are left out with more than `MAX_BANDS` groups.

    The static exits, drawn as hollow markers of the group without a line, are a baseline. The other baseline is a plain
    model cut to its first layers, drawn as joined grey squares. Upper bounds are thin and dotted.

    Args:
        curves: Name of the group -> curve.
        metric: Name of the quality on the axis.
        title: Title of the figure.
        speed: Name of the speed on the axis.
        cut: Number of layers -> point of the plain model with that many layers; None for no baseline.
    """
    assert curves or cut
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for style, (label, curve) in zip(distinct_styles(len(curves)), curves.items(), strict=True):
        shown = curve if len(curves) <= MAX_BANDS else replace(curve, std=None, interval=None)
        _draw(axes, style, f"{label} (n = {curve.seeds})", shown)
    if cut:
        _draw_cut(axes, cut)
    axes.set_xlabel(speed)
    axes.set_ylabel(f"{metric} (%)")
    axes.set_title(wrapped(title, 6.2, 11), loc="left", fontsize=11, color=INK)
    plain(axes, grid="both")
    if speed == LAYER_SPEEDUP and curves:
        _name_layers(axes, [curve.static for curve in curves.values()])
    if curves:
        axes.plot([], [], "s", color=INK, markerfacecolor="none", label="hollow: static exits")
    if any(curve.oracle for curve in curves.values()):
        axes.plot([], [], color=INK, linestyle=":", linewidth=1.0, label="thin, dotted: oracle (upper bound)")
    legend_below(figure, axes.get_legend_handles_labels()[0])
    layers = [PointLabel(str(kept), speed, 100 * quality, FAINT) for kept, (speed, quality) in (cut or {}).items()]
    place_labels(axes, layers, [point for curve in curves.values() for point in _markers(curve)], ring=4)
    return figure


def criterion_panels_figure(
    panels: Mapping[str, Mapping[str, SeedCurve]],
    *,
    metric: str,
    title: str,
    speed: str = LAYER_SPEEDUP,
    cut: Mapping[int, Point] | None = None,
) -> Figure:
    """Draw a panel per group of runs, with the mean curve of every criterion, the static exits and the upper bound.

    All panels have the same axes. The upper bound is that of the first curve of a panel: it does not depend on the
    criterion.

    Args:
        panels: Name of the group -> name of the criterion -> curve, at least one of each.
        metric: Name of the quality on the axes.
        title: Title of the figure.
        speed: Name of the speed on the axes.
        cut: Number of layers -> point of the plain model with that many layers; None for no baseline.
    """
    styles = criterion_styles(list(dict.fromkeys(name for curves in panels.values() for name in curves)))
    rows, columns = math.ceil(len(panels) / 2), min(2, len(panels))
    figure = Figure(figsize=(7.2, 0.8 + 2.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for number, (axes, (label, curves)) in enumerate(zip(grid, panels.items(), strict=False)):
        for name, curve in curves.items():
            _draw(axes, styles[name], name.replace("_", " "), replace(curve, static={}, oracle=()))
        labels = ("hollow: static exits", "dotted: oracle (upper bound)")
        _draw_bounds(axes, next(iter(curves.values())), "s", 6, INK, labels)
        if cut:
            _draw_cut(axes, cut)
        axes.set_title(wrapped(label, 3.2, 10), loc="left", fontsize=10, color=INK)
        plain(axes, grid="both")
        if number % columns == 0:
            axes.set_ylabel(f"{metric} (%)")
        if number + columns >= len(panels):  # the lowest panel of its column
            axes.set_xlabel(wrapped(speed, 3.2, 10))
            axes.tick_params(labelbottom=True)
    add_title(figure, title)
    handles = [handle for axes in grid for handle in axes.get_legend_handles_labels()[0]]
    distinct = {str(handle.get_label()): handle for handle in handles}
    legend_below(figure, list(distinct.values()))
    return figure


def _draw(axes: Axes, style: Style, label: str, curve: SeedCurve) -> None:
    mean = [100 * quality for quality in curve.mean]
    axes.plot(
        curve.speeds, mean, label=label, color=style.color, linestyle=style.line, linewidth=1.8, marker=style.marker,
        markersize=5, markevery=_every(curve), zorder=3,
    )  # fmt: skip
    bounds = curve.bounds()
    if bounds:
        low, high = ([100 * bound for bound in column] for column in zip(*bounds, strict=True))
        axes.fill_between(curve.speeds, low, high, color=style.color, alpha=0.15, linewidth=0, zorder=1)
    _draw_bounds(axes, curve, style.marker, 8, style.color)


def _draw_bounds(
    axes: Axes, curve: SeedCurve, marker: str, size: float, color: str, labels: tuple[str, str] = ("", "")
) -> None:
    """Draw the static exits as hollow markers and the upper bound as a dotted line, with a label each or none."""
    static, oracle = labels
    axes.plot(
        [speed for speed, _ in curve.static.values()], [100 * quality for _, quality in curve.static.values()],
        marker, color=color, markerfacecolor="none", markersize=size, zorder=2, label=static or "_",
    )  # fmt: skip
    if curve.oracle:
        axes.plot(
            [speed for speed, _ in curve.oracle], [100 * quality for _, quality in curve.oracle],
            color=color, linestyle=":", linewidth=1.0, zorder=2, label=oracle or "_",
        )  # fmt: skip


def _draw_cut(axes: Axes, cut: Mapping[int, Point]) -> None:
    points = [(speed, 100 * quality) for _, (speed, quality) in sorted(cut.items())]
    axes.plot(
        [speed for speed, _ in points], [quality for _, quality in points],
        color=FAINT, linestyle="--", linewidth=1.2, marker="s", markersize=6, zorder=2,
        label="plain model cut to k layers",
    )  # fmt: skip


def _name_layers(axes: Axes, statics: Sequence[Mapping[int, Point]]) -> None:
    """Name the layers of the static exits on the upper edge, where a layer has the same speed in all groups."""
    speeds = [{layer: speed for layer, (speed, _) in static.items()} for static in statics]
    if all(other == speeds[0] for other in speeds):
        name_layers(axes, speeds[0])


def _markers(curve: SeedCurve) -> list[Point]:
    """Return the points (speed, quality in percent) of a curve that have a marker, static exits included."""
    points = list(zip(curve.speeds, curve.mean, strict=True))[:: _every(curve)]
    return [(speed, 100 * quality) for speed, quality in (*points, *curve.static.values())]


def _every(curve: SeedCurve) -> int:
    return max(1, len(curve.mean) // 8)
