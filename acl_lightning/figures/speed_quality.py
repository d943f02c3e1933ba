"""Speed-quality curves of exit criteria, with static exits and recommended operating points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acl_lightning.figures.layout import legend_below, name_layers, widen, wrapped
from acl_lightning.figures.point_labels import PointLabel, place_labels
from acl_lightning.figures.style import FAINT, INK, Style, criterion_styles, plain

#: Layer speed-up and quality (a fraction).
Point = tuple[float, float]

#: Smallest range of the axis of the quality, in percent, and of the speed-up.
LEAST_QUALITY_RANGE = 5.0
LEAST_SPEED_RANGE = 1.0

#: Largest empty part of the axis; the baseline is drawn only if it does not exceed it.
MOST_EMPTY = 0.5


def speed_quality_figure(
    curves: Mapping[str, Sequence[Point]],
    static: Mapping[int, Point],
    recommended: Mapping[str, Point],
    *,
    metric: str,
    title: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    baseline: float | None = None,
    baseline_name: str = "majority class",
) -> Figure:
    """Draw a curve per criterion, the static exits, full depth, the baseline and the recommended points.

    Criteria with the same points share a curve. The recommended points are named beside their rings and described in
    the legend; the layers of the static exits are written on the upper edge.

    Args:
        curves: Criterion -> points in the order of their thresholds.
        static: Layer -> point if all samples leave there; the deepest layer is full depth.
        recommended: Name -> point.
        metric: Name of the quality, for the axis.
        title: Task, split and number of samples.
        intervals: Name of a recommended point -> low and high bound (fractions) of its quality's 95 % interval.
        baseline: Quality (a fraction) of the best constant answer; None where it is unknown.
        baseline_name: Name of the constant answer.

    Returns:
        The figure, without a window.
    """
    assert static
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    handles: list[Artist] = [
        axes.axhline(100 * static[max(static)][1], color=INK, linestyle=(0, (6, 4)), linewidth=1.0, zorder=1)
    ]
    handles[0].set_label("full depth")
    shown = dict.fromkeys((*static.values(), *recommended.values()))
    styles = criterion_styles(list(curves))
    for names, points in _distinct_curves(curves).items():
        handles += _draw_curve(axes, " = ".join(names), points, styles[names[0]])
        shown |= dict.fromkeys(_marked(points))
    handles += _draw_static(axes, static)
    handles += _draw_recommended(axes, recommended, intervals or {})
    _label(axes, metric, f"{title}; one exit: no sample can leave early" if len(static) == 1 else title)
    _widen(axes)
    name_layers(axes, {layer: speed for layer, (speed, _) in static.items()})
    if baseline is not None and math.isfinite(baseline):
        handles.insert(1, _draw_baseline(axes, 100 * baseline, baseline_name))
    legend_below(figure, handles)
    labels = [PointLabel(", ".join(names), *_percent(point)) for point, names in _by_point(recommended).items()]
    place_labels(axes, labels, map(_percent, shown))
    return figure


def _percent(point: Point) -> Point:
    return point[0], 100 * point[1]


def _distinct_curves(curves: Mapping[str, Sequence[Point]]) -> dict[tuple[str, ...], list[Point]]:
    """Return names of the criteria that share their points -> the distinct points."""
    names_of: dict[frozenset[Point], list[str]] = {}
    for name, points in curves.items():
        names_of.setdefault(frozenset(points), []).append(name)
    return {tuple(names): list(dict.fromkeys(curves[names[0]])) for names in names_of.values()}


def _by_point(recommended: Mapping[str, Point]) -> dict[Point, list[str]]:
    """Return point -> names of the recommendations that share it, in ascending order of speed."""
    names_at: dict[Point, list[str]] = {}
    for name, point in recommended.items():
        names_at.setdefault(point, []).append(name)
    return dict(sorted(names_at.items(), key=lambda item: (item[0][0], -item[0][1])))


def _marked(points: Sequence[Point]) -> Sequence[Point]:
    """Return the points of a curve that have a marker, about twelve."""
    return points[:: max(1, len(points) // 12)]


def _draw_curve(axes: Axes, label: str, points: Sequence[Point], style: Style) -> Sequence[Artist]:
    return axes.plot(
        [speed for speed, _ in points], [100 * quality for _, quality in points], color=style.color,
        linestyle=style.line, linewidth=1.8, marker=style.marker, markersize=5, markevery=max(1, len(points) // 12),
        label=label, zorder=3,
    )  # fmt: skip


def _draw_static(axes: Axes, static: Mapping[int, Point]) -> Sequence[Artist]:
    return axes.plot(
        [speed for speed, _ in static.values()], [100 * quality for _, quality in static.values()], color=FAINT,
        linestyle="", marker="s", markersize=6, label="static exit", zorder=2,
    )  # fmt: skip


def _draw_recommended(
    axes: Axes, recommended: Mapping[str, Point], intervals: Mapping[str, tuple[float, float]]
) -> list[Artist]:
    """Draw a ring per point and its interval; return the artists for the legend."""
    handles: list[Artist] = []
    bars: list[Artist] = []
    for (speed, quality), names in _by_point(recommended).items():
        text = f"{', '.join(names)}: {100 * quality:.1f} % at {speed:.2f}x"
        if names[0] in intervals and all(map(math.isfinite, intervals[names[0]])):
            low, high = (100 * bound for bound in intervals[names[0]])
            text = f"{', '.join(names)}: {100 * quality:.1f} % [{low:.1f}, {high:.1f}] at {speed:.2f}x"
            bars += axes.plot([speed, speed], [low, high], color=INK, linewidth=1.2, marker="_", zorder=4)
        handles += axes.plot(
            speed, 100 * quality, "o", markersize=12, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.4,
            label=text, zorder=4,
        )  # fmt: skip
    for bar in bars[:1]:
        bar.set_label("95 % interval of a recommended point")
    return handles + bars[:1]


def _draw_baseline(axes: Axes, quality: float, name: str) -> Artist:
    """Draw the quality of the constant answer, or only name it where drawing it would squeeze the curves."""
    low, high = axes.get_ylim()
    text = f"{name}: {quality:.1f} %"
    if low - quality > MOST_EMPTY * (high - low):
        (line,) = axes.plot([], [], color=FAINT, linestyle=(0, (1, 2)), label=f"{text} (below this range)")
        return line
    line = axes.axhline(quality, color=FAINT, linestyle=(0, (1, 2)), linewidth=1.6, label=text, zorder=1)
    axes.set_ylim(min(low, quality - 0.05 * (high - low)), max(high, quality + 0.05 * (high - low)))
    return line


def _label(axes: Axes, metric: str, title: str) -> None:
    axes.set_xlabel("layer speed-up (depth / mean exit layer)")
    axes.set_ylabel(f"{metric} (%)")
    axes.set_title(wrapped(title, 6.2, 11), loc="left", fontsize=11, color=INK)
    axes.margins(x=0.05, y=0.12)
    plain(axes, grid="both")


def _widen(axes: Axes) -> None:
    """Extend both axes to a smallest range: a model with a single exit has a single point."""
    low, high = axes.dataLim.intervalx
    if 0 <= high - low < LEAST_SPEED_RANGE / 10:
        middle = (low + high) / 2
        axes.set_xlim(middle - LEAST_SPEED_RANGE / 2, middle + LEAST_SPEED_RANGE / 2)
        axes.set_xticks([round(middle, 2)])
    widen(axes, LEAST_QUALITY_RANGE)
