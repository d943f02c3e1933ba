"""Reliability diagrams: accuracy over confidence of each exit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from acl_lightning.figures.layout import add_title, legend_below
from acl_lightning.figures.style import FAINT, INK, STYLES, plain

#: Mean confidence (a fraction), accuracy (a fraction) and number of samples of each bin of an exit.
Bins = Sequence[tuple[float, float, int]]

#: Smallest number of samples of a bin; smaller bins are merged with a neighbour.
LEAST_SAMPLES = 10

#: Diameter (points) of the marker of a bin with all samples, and smallest diameter.
LARGEST, SMALLEST = 13.0, 3.0


def reliability_figure(
    before: Mapping[int, Bins], after: Mapping[int, Bins], errors: Mapping[int, tuple[float, float]], *, title: str
) -> Figure:
    """Draw accuracy over confidence for each exit, before and after calibration; the diagonal is perfect calibration.

    The area of a marker is proportional to the number of samples in its bin. Bins of fewer than `LEAST_SAMPLES` samples
    are merged.

    Args:
        before: Layer -> non-empty bins before calibration.
        after: Layer -> non-empty bins after division of the logits by the temperature of the exit.
        errors: Layer -> expected calibration error before and after, as fractions.
        title: Task, split and number of samples.
    """
    columns = min(3, len(before))
    rows = -(-len(before) // columns)
    figure = Figure(
        figsize=(max(5.0, 0.6 + 2.4 * columns), 1.2 + 2.3 * rows), layout=ConstrainedLayoutEngine(h_pad=0.1)
    )
    panels = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    series = ((STYLES[1], before, "not calibrated"), (STYLES[0], after, "calibrated by a temperature"))
    for axes, layer in zip(panels, before, strict=False):
        axes.plot([0, 100], [0, 100], color=FAINT, linewidth=1.0)
        for style, bins, _ in series:
            _draw(axes, merge_small_bins(bins[layer]), style.color, style.marker, style.line)
        raw, calibrated = errors[layer]
        axes.set_title(
            f"exit {layer}: {100 * raw:.1f} \u2192 {100 * calibrated:.1f}", loc="left", fontsize=10, color=INK
        )
        axes.set(xlim=(-6, 106), ylim=(-6, 106))
        axes.set_box_aspect(1)
        plain(axes, grid="both")
    for spare in panels[len(before) :]:
        spare.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel("accuracy (%)", fontsize=9)
    for axes in panels[:columns]:
        lowest = [panel for panel in panels[panels.index(axes) :: columns] if panel.axison][-1]
        lowest.set_xlabel("confidence (%)", fontsize=9)
        lowest.tick_params(labelbottom=True)
    add_title(figure, f"{title}; expected calibration error (%) of each exit, before \u2192 after calibration")
    handles = [
        Line2D([], [], color=style.color, linestyle=style.line, marker=style.marker, markersize=6, label=name)
        for style, _, name in series
    ]
    legend_below(figure, handles, f"marker area: samples; bins of fewer than {LEAST_SAMPLES} samples are merged")
    return figure


def merge_small_bins(bins: Bins, least: int = LEAST_SAMPLES) -> list[tuple[float, float, int]]:
    """Merge neighbouring bins, from the first on, until every bin has at least `least` samples.

    The confidence and the accuracy of a merged bin are the means over its samples. If there are fewer than `least`
    samples, a single bin is returned.

    >>> merge_small_bins([(0.5, 1.0, 3), (0.7, 0.5, 9), (0.9, 1.0, 20), (1.0, 0.0, 1)])
    [(0.65, 0.625, 12), (0.9047619047619048, 0.9523809523809523, 21)]
    """
    merged: list[list[tuple[float, float, int]]] = [[]]
    for part in bins:
        merged[-1].append(part)
        if sum(count for _, _, count in merged[-1]) >= least:
            merged.append([])
    rest = merged.pop()
    if rest and merged:
        merged[-1] += rest
    elif rest:
        merged = [rest]
    means = []
    for group in merged:
        total = sum(count for _, _, count in group)
        confidence = sum(confidence * count for confidence, _, count in group) / total
        means.append((confidence, sum(accuracy * count for _, accuracy, count in group) / total, total))
    return means


def _draw(axes: Axes, bins: Bins, color: str, marker: str, line: str) -> None:
    total = sum(count for _, _, count in bins)
    confidences, accuracies = [100 * part[0] for part in bins], [100 * part[1] for part in bins]
    axes.plot(confidences, accuracies, color=color, linestyle=line, linewidth=1.2, zorder=2)
    areas = [max(SMALLEST**2, LARGEST**2 * count / total) for _, _, count in bins]
    axes.scatter(confidences, accuracies, s=areas, color=color, marker=marker, linewidth=0, alpha=0.85, zorder=3)
