"""Training loss, validation quality and learning rates over the optimiser steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from acl_lightning.figures.layout import add_title, legend_below, widen
from acl_lightning.figures.style import INK, Style, distinct_styles, plain

#: Optimiser step and value; a value that is not finite leaves a gap.
Series = Sequence[tuple[int, float]]

#: Smallest range of the axis of the quality, in percent.
LEAST_QUALITY_RANGE = 5.0


def training_figure(
    losses: Mapping[str, Series], learning_rates: Mapping[str, Series], validation: Mapping[str, Series], *, title: str
) -> Figure:
    """Draw the losses, the quality on the selection split and the learning rates below each other.

    A panel without values is left out. A single value is drawn as a marker.

    Args:
        losses: Name -> training loss at every logged step.
        learning_rates: Group of parameters -> its learning rate.
        validation: Name -> quality (a fraction) at every validation.
        title: Task and objective.
    """
    panels = {
        "training loss": losses,
        "quality (%)": {name: [(step, 100 * value) for step, value in points] for name, points in validation.items()},
        "learning rate": learning_rates,
    }
    shown = {label: series for label, series in panels.items() if any(series.values())}
    figure = Figure(figsize=(7.2, 1.0 + 2.0 * max(1, len(shown))), layout="constrained")
    panels_axes = list(figure.subplots(max(1, len(shown)), 1, squeeze=False, sharex=True).flat)
    styles = iter(distinct_styles(sum(len(series) for series in shown.values())))
    handles = []
    for axes, (label, series) in zip(panels_axes, shown.items(), strict=False):
        for name, points in series.items():
            handles += _draw(axes, name, points, next(styles))
        axes.set_ylabel(label)
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        plain(axes, grid="both")
        if label == "quality (%)":
            widen(axes, LEAST_QUALITY_RANGE)
    if not shown:
        panels_axes[0].text(
            0.5, 0.5, "no values were logged", transform=panels_axes[0].transAxes, ha="center", color=INK
        )
    panels_axes[-1].set_xlabel("optimiser step")
    panels_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.align_ylabels()
    add_title(figure, title)
    legend_below(figure, handles)
    return figure


def _draw(axes: Axes, name: str, points: Series, style: Style) -> list[Line2D]:
    finite = sum(math.isfinite(value) for _, value in points)
    return axes.plot(
        [step for step, _ in points], [value if math.isfinite(value) else math.nan for _, value in points], label=name,
        color=style.color, linestyle=style.line, linewidth=1.4, marker=style.marker, markersize=5,
        markevery=max(1, finite // 8),
    )  # fmt: skip
