"""Quality against speed: what every early exit buys and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acl_lightning.figures.style import FAINT, INK, STYLES, plain

#: (layer speed-up, quality as a fraction).
Point = tuple[float, float]

#: So that a curve does not run through letters.
BEHIND_TEXT = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none"}

#: A line from the left edge of a name to its point.
LEADER = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 6, "relpos": (0, 0.5)}


def speed_quality_figure(
    curves: Mapping[str, Sequence[Point]],
    static: Mapping[int, Point],
    recommended: Mapping[str, Point],
    *,
    metric: str,
    title: str,
) -> Figure:
    """Draw a curve per criterion, the static exits, full depth, and the recommended points.

    Nothing is written and no display is needed; `figure.savefig(path)` does the rest.

    Args:
        curves: criterion -> points in the order of their thresholds.
        static: layer -> the point at which everybody leaves there; the deepest is full depth.
        recommended: name -> point.
        metric: name of the quality, for the axis.
        title: task, half and number of samples.
    """
    assert static
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    full_depth = 100 * static[max(static)][1]
    axes.axhline(full_depth, color=INK, linestyle=(0, (6, 4)), linewidth=1.0, label="full depth", zorder=1)
    for style, (name, points) in zip(STYLES * (1 + len(curves) // len(STYLES)), curves.items(), strict=False):
        distinct = list(dict.fromkeys(points))
        axes.plot(
            [speed for speed, _ in distinct],
            [100 * quality for _, quality in distinct],
            color=style.color,
            linestyle=style.line,
            linewidth=1.8,
            marker=style.marker,
            markersize=5,
            markevery=max(1, len(distinct) // 12),
            label=name,
            zorder=3,
        )
    _draw_static(axes, static)
    _draw_recommended(axes, recommended)
    axes.set_xlabel("layer speed-up (depth / mean exit layer)")
    axes.set_ylabel(f"{metric} (%)")
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.margins(x=0.04, y=0.18)
    plain(axes, grid="both")
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _draw_static(axes: Axes, static: Mapping[int, Point]) -> None:
    speeds = [speed for speed, _ in static.values()]
    qualities = [100 * quality for _, quality in static.values()]
    axes.plot(
        speeds, qualities, color=FAINT, linestyle="", marker="s", markersize=6, label="static exit (layer)", zorder=2
    )
    for layer, speed, quality in zip(static, speeds, qualities, strict=True):
        _note(axes, f"{layer}", (speed, quality), offset=(0, -13), color=FAINT)


def _draw_recommended(axes: Axes, recommended: Mapping[str, Point]) -> None:
    names_at: dict[Point, list[str]] = {}
    for name, (speed, quality) in recommended.items():
        names_at.setdefault((speed, 100 * quality), []).append(name)
    ring = {"markersize": 13, "markerfacecolor": "none", "markeredgecolor": INK, "markeredgewidth": 1.4}
    slowest_first = sorted(names_at.items(), key=lambda item: (item[0][0], -item[0][1]))
    for number, ((speed, quality), names) in enumerate(slowest_first):
        label = "recommended" if number == 0 else None
        axes.plot(speed, quality, "o", label=label, zorder=4, **ring)  # type: ignore[arg-type]
        # A list in the upper right corner, fast and good, where no model is: names of close points stay apart.
        axes.annotate(
            f"{', '.join(names)}: {quality:.1f} % at {speed:.2f}x", (speed, quality), (0.6, 0.96 - 0.07 * number),
            textcoords="axes fraction", va="top", fontsize=9, color=INK, zorder=5, bbox=BEHIND_TEXT,
            arrowprops=LEADER,
        )  # fmt: skip


def _note(axes: Axes, text: str, point: Point, *, offset: tuple[float, float], color: str) -> None:
    axes.annotate(
        text, point, offset, textcoords="offset points", ha="center", fontsize=9, color=color, zorder=5,
        bbox=BEHIND_TEXT,
    )  # fmt: skip
