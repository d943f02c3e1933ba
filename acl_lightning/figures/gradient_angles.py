"""Angles between two gradients over the steps, and their distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from acl_lightning.figures.layout import add_title, legend_below, wrapped
from acl_lightning.figures.style import FAINT, INK, Style, distinct_styles, plain

#: Step and angle in degrees; an angle that is not finite is left out.
Curve = Sequence[tuple[int, float]]

#: Width of a bin of the distribution, in degrees.
BIN = 2


@dataclass(frozen=True)
class AnglePanel:
    """Data of a panel: curves of several terms of a run, or of several seeds of a comparison.

    Attributes:
        title: Heading of the panel.
        curves: Label -> angle at every recorded step.
    """

    title: str
    curves: Mapping[str, Curve]


def gradient_angles_figure(rows: Sequence[Sequence[AnglePanel]], *, title: str) -> Figure:
    """Draw for each panel the angle over the steps and, to its right, the distribution of the angle.

    A line marks 90 degrees; larger angles are conflicts. All panels share the axis of the angle and the legend; a label
    has the same style in all panels.

    Args:
        rows: Rows of panels; all rows have the same number of panels.
        title: Task and objective.
    """
    assert len({len(row) for row in rows}) == 1
    count = len(rows[0])
    figure = Figure(figsize=(max(5.2, 4.4 * count), 0.7 + 2.7 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2 * count, sharey=True, squeeze=False, width_ratios=[3, 1] * count)
    labels = list(dict.fromkeys(label for row in rows for panel in row for label in panel.curves))
    styles = dict(zip(labels, distinct_styles(len(labels)), strict=True))
    for row, axes in zip(rows, grid, strict=True):
        for number, panel in enumerate(row):
            _draw_steps(axes[2 * number], panel, styles)
            _draw_distribution(axes[2 * number + 1], panel, styles)
        axes[0].set_ylabel("angle (degrees)")
    add_title(figure, title)
    handles = [
        Line2D([], [], color=style.color, linestyle=style.line, marker=style.marker, markersize=5, label=label)
        for label, style in styles.items()
    ]
    legend_below(figure, handles)
    return figure


def _draw_steps(axes: Axes, panel: AnglePanel, styles: Mapping[str, Style]) -> None:
    for label, curve in panel.curves.items():
        style = styles[label]
        defined = [(step, angle) for step, angle in curve if math.isfinite(angle)]
        axes.plot(
            [step for step, _ in defined], [angle for _, angle in defined], color=style.color, linestyle=style.line,
            marker=style.marker, markersize=4, markevery=max(1, len(defined) // 10), linewidth=1.3, label=label,
        )  # fmt: skip
    _mark_right_angle(axes)
    axes.set_xlabel("training batch")
    axes.set_title(wrapped(panel.title, 4.0, 10), loc="left", fontsize=10, color=INK)


def _draw_distribution(axes: Axes, panel: AnglePanel, styles: Mapping[str, Style]) -> None:
    for label, curve in panel.curves.items():
        style = styles[label]
        angles = [angle for _, angle in curve if math.isfinite(angle)]
        if angles:
            first, last = math.floor(min(angles) / BIN) * BIN, math.floor(max(angles) / BIN) * BIN + BIN
            axes.hist(
                angles, bins=range(first, last + 1, BIN), weights=[100 / len(angles)] * len(angles), histtype="step",
                orientation="horizontal", color=style.color, linestyle=style.line, linewidth=1.5,
            )  # fmt: skip
    _mark_right_angle(axes)
    axes.set_xlabel("batches (%)")


def _mark_right_angle(axes: Axes) -> None:
    plain(axes)
    axes.axhline(90, color=FAINT, linestyle=(0, (6, 4)), linewidth=1.2, zorder=1)
