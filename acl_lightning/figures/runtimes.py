"""Quality over measured speed of several runtimes of the same model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from acl_lightning.figures.layout import legend_below, wrapped
from acl_lightning.figures.point_labels import PointLabel, place_labels
from acl_lightning.figures.style import FAINT, INK, STYLES, plain

#: Ticks of the axis of the speed-up, which is logarithmic.
TICKS = (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)

#: Markers of runtimes that compute all layers.
MARKERS = "sDX*"


def runtimes_figure(
    adaptive: Mapping[str, Mapping[str, tuple[float, float]]],
    full_depth: Mapping[str, tuple[float, float]],
    *,
    reference: str,
    metric: str,
    title: str,
) -> Figure:
    """Draw the operating points of each adaptive runtime, and a marker per runtime at full depth.

    A line joins the points of a runtime than which no other of its points is both faster and at least as good.

    Args:
        adaptive: Runtime -> operating point -> measured speed-up and quality (a fraction). The points of the fastest
            runtime are named.
        full_depth: Runtime without early exits -> measured speed-up and quality.
        reference: Name of the runtime with speed-up 1, for the axis.
        metric: Name of the quality, for the axis.
        title: Task, number of samples and device.

    Returns:
        The figure, without a window.
    """
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    for style, (name, points) in zip(STYLES, adaptive.items(), strict=False):
        best = _best(list(points.values()))
        axes.plot(
            [speed for speed, _ in best], [100 * quality for _, quality in best], color=style.color,
            linestyle=style.line, marker=style.marker, linewidth=1.8, markersize=6, label=name, zorder=3,
        )  # fmt: skip
        others = [point for point in points.values() if point not in best]
        axes.plot(
            [speed for speed, _ in others], [100 * quality for _, quality in others], color=style.color,
            linestyle="", marker=style.marker, markersize=6, zorder=3,
        )  # fmt: skip
    for marker, (name, (speed, quality)) in zip(MARKERS, full_depth.items(), strict=False):
        axes.plot(
            speed, 100 * quality, marker, color=INK, markerfacecolor="none", markersize=9, markeredgewidth=1.4,
            linestyle="", label=name, zorder=4,
        )  # fmt: skip
    axes.axvline(1.0, color=FAINT, linestyle=(0, (6, 4)), linewidth=1.0, zorder=1)
    axes.set_xlabel(f"measured speed-up over {reference}")
    axes.set_ylabel(f"{metric} (%)")
    axes.set_title(wrapped(title, 6.2, 11), loc="left", fontsize=11, color=INK)
    axes.margins(x=0.06, y=0.16)
    _set_ticks(axes)
    plain(axes, grid="both")
    handles, _ = axes.get_legend_handles_labels()
    legend_below(figure, handles)
    shown = [point for points in adaptive.values() for point in points.values()] + list(full_depth.values())
    fastest = max(adaptive.values(), key=lambda points: max(points.values())[0])
    labels = [PointLabel(", ".join(names), speed, 100 * quality) for (speed, quality), names in _by_point(fastest)]
    place_labels(axes, labels, [(speed, 100 * quality) for speed, quality in shown], ring=4)
    return figure


def _best(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points than which no other is faster and at least as good, in ascending order of speed."""
    return sorted(
        (speed, quality)
        for speed, quality in set(points)
        if not any(other > speed and value >= quality for other, value in points)
    )


def _set_ticks(axes: Axes) -> None:
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))


def _by_point(points: Mapping[str, tuple[float, float]]) -> list[tuple[tuple[float, float], list[str]]]:
    """Return the distinct points with the names that share each."""
    names_at: dict[tuple[float, float], list[str]] = {}
    for name, point in points.items():
        names_at.setdefault(point, []).append(name.replace("_", " "))
    return list(names_at.items())
