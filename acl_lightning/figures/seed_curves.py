"""Quality against speed, averaged over seeds: is one setting better than another, or was it luck?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acl_lightning.figures.speed_quality import Point
from acl_lightning.figures.style import INK, STYLES, Style, plain


@dataclass(frozen=True)
class SeedCurve:
    """A group's curve over its seeds. Qualities are fractions.

    Attributes:
        seeds: number of runs n.
        speeds: layer speed-ups, ascending.
        mean: mean quality at each speed.
        std: sample standard deviation at each speed; None where n is 1.
        static: layer -> mean point at which everybody leaves there.
    """

    seeds: int
    speeds: Sequence[float]
    mean: Sequence[float]
    std: Sequence[float] | None
    static: Mapping[int, Point]


def seed_curves_figure(curves: Mapping[str, SeedCurve], *, metric: str, title: str) -> Figure:
    """Draw a mean curve per group, a band of one standard deviation around it, and the group's static exits.

    The static exits are the baseline: the group's marker, hollow, without a line.

    Args:
        curves: group -> its curve.
        metric: name of the quality, for the axis.
        title: task, criterion and number of samples.
    """
    assert curves
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    axes = figure.add_subplot()
    for style, (label, curve) in zip(STYLES * (1 + len(curves) // len(STYLES)), curves.items(), strict=False):
        _draw(axes, style, f"{label} (n = {curve.seeds})", curve)
    axes.set_xlabel("layer speed-up (depth / mean exit layer)")
    axes.set_ylabel(f"{metric} (%)")
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    plain(axes, grid="both")
    _name_layers(axes, [curve.static for curve in curves.values()])
    axes.plot([], [], "s", color=INK, markerfacecolor="none", label="hollow: static exits")
    figure.legend(loc="outside lower center", ncols=2 if max(map(len, curves)) < 40 else 1, frameon=False, fontsize=9)
    return figure


def _draw(axes: Axes, style: Style, label: str, curve: SeedCurve) -> None:
    mean = [100 * quality for quality in curve.mean]
    axes.plot(
        curve.speeds, mean, label=label, color=style.color, linestyle=style.line, linewidth=1.8, marker=style.marker,
        markersize=5, markevery=max(1, len(mean) // 8), zorder=3,
    )  # fmt: skip
    if curve.std is not None:
        low = [middle - 100 * deviation for middle, deviation in zip(mean, curve.std, strict=True)]
        high = [middle + 100 * deviation for middle, deviation in zip(mean, curve.std, strict=True)]
        axes.fill_between(curve.speeds, low, high, color=style.color, alpha=0.15, linewidth=0, zorder=1)
    axes.plot(
        [speed for speed, _ in curve.static.values()], [100 * quality for _, quality in curve.static.values()],
        style.marker, markerfacecolor="none", markeredgecolor=style.color, markersize=8, zorder=2,
    )  # fmt: skip


def _name_layers(axes: Axes, statics: Sequence[Mapping[int, Point]]) -> None:
    """Mark on the upper edge which layer a static exit's speed stands for, where that is the same for all groups."""
    speeds = {layer: speed for layer, (speed, _) in statics[0].items()}
    if not speeds or any(speeds != {layer: speed for layer, (speed, _) in static.items()} for static in statics):
        return
    room = 0.035 * (max(speeds.values()) - min(speeds.values()))
    apart: dict[int, float] = {}
    for layer, speed in sorted(speeds.items()):
        if all(abs(speed - taken) >= room for taken in apart.values()):
            apart[layer] = speed
    upper = axes.secondary_xaxis("top")
    upper.set_xticks(list(apart.values()), [str(layer) for layer in apart], fontsize=8)
    upper.set_xlabel("layer of the static exit", fontsize=8)
    upper.spines["top"].set_visible(False)
