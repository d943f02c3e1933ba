"""Who leaves where: a stacked bar per class, and per grade of difficulty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

from acl_lightning.figures.style import INK, plain


def exit_histogram_figure(
    layers: Sequence[int], groups: Mapping[str, Mapping[str, Sequence[float]]], *, operating_point: str, title: str
) -> Figure:
    """Draw, for each kind of group, a bar per group whose parts are the shares leaving at each exit.

    Args:
        layers: layer of each exit, ascending; deeper is darker.
        groups: kind ("class", "difficulty") -> group -> shares that sum to 1.
        operating_point: what the shares were measured at.
        title: task, half and number of samples.
    """
    assert groups
    bars = max(len(shares) for shares in groups.values())
    figure = Figure(figsize=(1.0 + 4.2 * len(groups), 1.6 + 0.4 * bars), layout="constrained")
    shades = matplotlib.colormaps["Blues"]
    for axes, (kind, shares) in zip(figure.subplots(1, len(groups), squeeze=False).flat, groups.items(), strict=True):
        names, left = list(shares), [0.0] * len(shares)
        for number, layer in enumerate(layers):
            widths = [100 * shares[name][number] for name in names]
            depth = 0.15 + 0.8 * number / max(1, len(layers) - 1)
            axes.barh(
                names, widths, left=left, height=0.7, color=shades(depth), edgecolor=INK, linewidth=0.5,
                label=str(layer) if axes is figure.axes[0] else None,
            )  # fmt: skip
            for name, start, width in zip(names, left, widths, strict=True):
                if width >= 8:
                    ink = "white" if depth > 0.55 else INK
                    axes.text(start + width / 2, name, f"{layer}", ha="center", va="center", fontsize=8, color=ink)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.set_xlabel("samples leaving (%)")
        axes.set_ylabel(kind)
        plain(axes, grid="x")
    figure.suptitle(f"{title}; leaving at {operating_point}", x=0.01, ha="left", fontsize=11, color=INK)
    figure.legend(loc="outside lower center", ncols=len(layers), frameon=False, fontsize=9, title="exit layer")
    return figure
