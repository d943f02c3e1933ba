"""Exit by exit: how good it is, who leaves there, and whether harder samples go deeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acl_lightning.figures.style import FILL, INK, STYLES, plain


def per_exit_figure(
    layers: Sequence[int],
    qualities: Mapping[str, Sequence[float]],
    shares: Sequence[float],
    mean_layer_by_grade: Mapping[int, float] | None = None,
    *,
    operating_point: str,
    title: str,
) -> Figure:
    """Draw the metrics of each exit, the share of samples leaving there, and the mean exit layer per difficulty grade.

    Args:
        layers: layer of each exit, ascending.
        qualities: metric -> its value at each exit (a fraction), were everybody to leave there.
        shares: share of the samples that leave at each exit.
        mean_layer_by_grade: difficulty grade -> mean exit layer; the panel is left out where difficulty is unknown.
        operating_point: what `shares` and `mean_layer_by_grade` were measured at.
        title: task, half and number of samples.
    """
    assert len(layers) == len(shares)
    panels = 3 if mean_layer_by_grade else 2
    figure = Figure(figsize=(3.8 * panels, 3.4), layout="constrained")
    axes = figure.subplots(1, panels)
    _draw_qualities(axes[0], layers, qualities)
    _draw_shares(axes[1], layers, shares)
    if mean_layer_by_grade:
        _draw_grades(axes[2], mean_layer_by_grade, deepest=layers[-1])
    figure.suptitle(f"{title}; leaving at {operating_point}", x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _draw_qualities(axes: Axes, layers: Sequence[int], qualities: Mapping[str, Sequence[float]]) -> None:
    positions = range(len(layers))
    for style, (metric, values) in zip(STYLES, qualities.items(), strict=False):
        axes.plot(
            positions, [100 * value for value in values], color=style.color, marker=style.marker, linestyle=style.line,
            linewidth=1.8, label=metric,
        )  # fmt: skip
    _label(axes, "exit layer", "metric (%)" if len(qualities) > 1 else f"{next(iter(qualities))} (%)")
    axes.set_xticks(positions, [str(layer) for layer in layers])
    axes.margins(y=0.15)
    axes.set_title("If everybody left here", loc="left", fontsize=10, color=INK)
    if len(qualities) > 1:
        axes.legend(frameon=False, fontsize=9)


def _draw_shares(axes: Axes, layers: Sequence[int], shares: Sequence[float]) -> None:
    bars = axes.bar(range(len(layers)), [100 * share for share in shares], width=0.7, color=FILL, edgecolor=INK)
    axes.bar_label(bars, [f"{100 * share:.0f}" for share in shares], padding=2, fontsize=8, color=INK)
    _label(axes, "exit layer", "samples leaving (%)")
    axes.set_xticks(range(len(layers)), [str(layer) for layer in layers])
    axes.margins(y=0.12)
    axes.set_title("Who leaves here", loc="left", fontsize=10, color=INK)


def _draw_grades(axes: Axes, mean_layer_by_grade: Mapping[int, float], *, deepest: int) -> None:
    grades = [str(grade) for grade in mean_layer_by_grade]
    bars = axes.bar(grades, list(mean_layer_by_grade.values()), width=0.7, color=FILL, edgecolor=INK, hatch="///")
    axes.bar_label(bars, [f"{layer:.1f}" for layer in mean_layer_by_grade.values()], padding=2, fontsize=8, color=INK)
    _label(axes, "difficulty grade", "mean exit layer")
    axes.set_ylim(0, 1.12 * deepest)
    axes.set_title("Harder samples go deeper?", loc="left", fontsize=10, color=INK)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    plain(axes)
