"""Quality of each exit, share of samples leaving there, and mean exit layer by difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acl_lightning.figures.layout import add_title, legend_below, widen, wrapped
from acl_lightning.figures.style import FILL, INK, STYLES, plain

#: Width of the figure and of the title of a panel, in inches.
WIDTH, PANEL = 7.6, 3.3

#: Smallest range of the axis of the quality, in percent.
LEAST_RANGE = 5.0


def per_exit_figure(
    layers: Sequence[int],
    qualities: Mapping[str, Sequence[float]],
    shares: Sequence[float],
    mean_layer_by_grade: Mapping[int, float] | None = None,
    *,
    operating_point: str,
    title: str,
    counts_by_grade: Mapping[int, int] | None = None,
) -> Figure:
    """Draw the metrics of each exit, the share of samples leaving there, and the mean exit layer per difficulty grade.

    Args:
        layers: Layer of each exit, ascending.
        qualities: Metric -> its value (a fraction) at each exit if all samples leave there.
        shares: Share of the samples that leave at each exit.
        mean_layer_by_grade: Difficulty grade -> mean exit layer; the panel is left out if it is empty or None.
        operating_point: Operating point at which `shares` and `mean_layer_by_grade` were measured.
        title: Task, split and number of samples.
        counts_by_grade: Difficulty grade -> number of samples, written below the bars.
    """
    assert len(layers) == len(shares)
    figure = Figure(figsize=(WIDTH, 5.2 if mean_layer_by_grade else 3.6), layout="constrained")
    grid = figure.add_gridspec(2 if mean_layer_by_grade else 1, 2)
    _draw_qualities(figure.add_subplot(grid[:, 0]), layers, qualities)
    _draw_shares(figure.add_subplot(grid[0, 1]), layers, shares)
    if mean_layer_by_grade:
        _draw_grades(figure.add_subplot(grid[1, 1]), mean_layer_by_grade, counts_by_grade or {}, deepest=layers[-1])
    add_title(figure, f"{title}; samples leave at {operating_point}")
    if len(qualities) > 1:
        legend_below(figure, figure.axes[0].get_legend_handles_labels()[0])
    return figure


def share_text(share: float) -> str:
    """Return a share as a whole number of percent; shares above 0 that would be rounded to 0 are "<1".

    >>> share_text(0.004), share_text(0.0), share_text(0.126)
    ('<1', '0', '13')
    """
    percent = f"{100 * share:.0f}"
    return "<1" if percent == "0" and share > 0 else percent


def _draw_qualities(axes: Axes, layers: Sequence[int], qualities: Mapping[str, Sequence[float]]) -> None:
    positions = range(len(layers))
    for style, (metric, values) in zip(STYLES, qualities.items(), strict=False):
        axes.plot(
            positions, [100 * value for value in values], color=style.color, marker=style.marker, linestyle=style.line,
            linewidth=1.8, label=metric,
        )  # fmt: skip
    _label(axes, "exit layer", "metric (%)" if len(qualities) > 1 else f"{next(iter(qualities))} (%)")
    _name_exits(axes, layers)
    axes.margins(y=0.15)
    _title(axes, "Quality of each exit if all samples leave there")
    widen(axes, LEAST_RANGE)


def _draw_shares(axes: Axes, layers: Sequence[int], shares: Sequence[float]) -> None:
    bars = axes.bar(range(len(layers)), [100 * share for share in shares], width=0.7, color=FILL, edgecolor=INK)
    axes.bar_label(bars, [share_text(share) for share in shares], padding=2, fontsize=8, color=INK)
    _label(axes, "exit layer", "samples leaving (%)")
    _name_exits(axes, layers)
    axes.margins(y=0.15)
    _title(axes, "Share of samples leaving at each exit")


def _draw_grades(
    axes: Axes, mean_layer_by_grade: Mapping[int, float], counts: Mapping[int, int], *, deepest: int
) -> None:
    names = [f"{grade}\nn = {counts[grade]}" if grade in counts else str(grade) for grade in mean_layer_by_grade]
    positions = range(len(names))
    bars = axes.bar(
        positions, list(mean_layer_by_grade.values()), width=0.7, color=FILL, edgecolor=INK, hatch="///"
    )  # fmt: skip
    axes.bar_label(bars, [f"{layer:.1f}" for layer in mean_layer_by_grade.values()], padding=2, fontsize=8, color=INK)
    _label(axes, "difficulty grade", "mean exit layer")
    axes.set_xticks(positions, names, fontsize=8 if counts else None)
    axes.set_ylim(0, 1.18 * deepest)
    _title(axes, "Mean exit layer by difficulty grade")


def _name_exits(axes: Axes, layers: Sequence[int]) -> None:
    axes.set_xticks(range(len(layers)), [str(layer) for layer in layers], fontsize=8 if len(layers) > 8 else None)
    if len(layers) == 1:
        axes.set_xlim(-1, 1)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(wrapped(text, PANEL, 10), loc="left", fontsize=10, color=INK)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    plain(axes)
