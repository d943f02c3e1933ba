"""Stacked bars of the shares of samples that leave at each exit, per class and per difficulty grade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from acl_lightning.figures.layout import add_title, legend_below, shortened
from acl_lightning.figures.style import INK, plain

#: Largest number of bars of a kind of groups.
MAX_GROUPS = 40

#: Smallest share whose part of a bar is labelled with its layer.
SMALLEST_LABELLED = 0.08


def exit_histogram_figure(
    layers: Sequence[int],
    groups: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    operating_point: str,
    title: str,
    counts: Mapping[str, Mapping[str, int]] | None = None,
) -> Figure:
    """Draw a bar per group whose parts are the shares of samples that leave at each exit.

    Of a kind with more than `MAX_GROUPS` groups, the groups with the most samples are drawn.

    Args:
        layers: Layer of each exit, ascending; deeper layers are darker.
        groups: Kind of groups ("class", "difficulty") -> name of the group -> shares that sum to 1.
        operating_point: Operating point at which the shares were measured.
        title: Task, split and number of samples.
        counts: Kind of groups -> name of the group -> number of samples, written beside the bar.
    """
    assert groups
    groups = {kind: _largest(shares, (counts or {}).get(kind, {})) for kind, shares in groups.items()}
    heights = [0.9 + 0.32 * len(shares) for shares in groups.values()]
    figure = Figure(figsize=(7.2, 0.8 + sum(heights)), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, height_ratios=heights).flat
    for axes, (kind, shares) in zip(panels, groups.items(), strict=True):
        _draw(axes, layers, shares, (counts or {}).get(kind, {}))
        axes.set_ylabel(kind)
    figure.axes[-1].set_xlabel("samples leaving (%)")
    figure.align_ylabels()
    add_title(figure, f"{title}; samples leave at {operating_point}")
    handles = [
        Patch(facecolor=matplotlib.colormaps["Blues"](_depth(number, layers)), edgecolor=INK, label=str(layer))
        for number, layer in enumerate(layers)
    ]
    legend_below(figure, handles, title="exit layer", by_row=True)
    return figure


def _largest(shares: Mapping[str, Sequence[float]], counts: Mapping[str, int]) -> Mapping[str, Sequence[float]]:
    """Return at most `MAX_GROUPS` groups, in their order: those with the most samples."""
    if len(shares) <= MAX_GROUPS:
        return shares
    kept = set(sorted(shares, key=lambda name: -counts.get(name, 0))[:MAX_GROUPS])
    return {name: group for name, group in shares.items() if name in kept}


def _draw(axes: Axes, layers: Sequence[int], shares: Mapping[str, Sequence[float]], counts: Mapping[str, int]) -> None:
    positions, left = range(len(shares)), [0.0] * len(shares)
    for number, layer in enumerate(layers):
        widths = [100 * group[number] for group in shares.values()]
        depth = _depth(number, layers)
        axes.barh(
            positions, widths, left=left, height=0.7, color=matplotlib.colormaps["Blues"](depth), edgecolor=INK,
            linewidth=0.5,
        )  # fmt: skip
        for position, start, width in zip(positions, left, widths, strict=True):
            if width >= 100 * SMALLEST_LABELLED:
                color = "white" if depth > 0.55 else INK
                axes.text(start + width / 2, position, str(layer), ha="center", va="center", fontsize=8, color=color)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    names = [f"{shortened(name)} (n = {counts[name]})" if name in counts else shortened(name) for name in shares]
    axes.set_yticks(positions, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    plain(axes, grid="x")


def _depth(number: int, layers: Sequence[int]) -> float:
    """Return the shade of exit `number`."""
    return 0.15 + 0.8 * number / max(1, len(layers) - 1)
