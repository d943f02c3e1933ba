"""Quality over measured speed-up, beside the speed-ups computed from layers and FLOPs."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acl_lightning.figures.layout import legend_below, wrapped
from acl_lightning.figures.point_labels import PointLabel, place_labels
from acl_lightning.figures.style import FAINT, INK, STYLES, plain


def measured_speed_figure(
    quality: Mapping[str, float],
    computed: Mapping[str, Mapping[str, float]],
    measured: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    metric: str,
    title: str,
) -> Figure:
    """Draw the computed speed-ups of each operating point as hollow markers and the measured ones as filled markers.

    Args:
        quality: Operating point -> quality (a fraction).
        computed: Operating point -> cost convention -> computed speed-up.
        measured: Mode of the runtime -> operating point -> median, smallest and largest speed-up over the plain model.
        metric: Name of the quality, for the axis.
        title: Task and device.
    """
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(1.0, color=FAINT, linestyle=(0, (6, 4)), linewidth=1.0, label="plain model", zorder=1)
    conventions = dict.fromkeys(name for speeds in computed.values() for name in speeds)
    for marker, convention in zip("sDX*", conventions, strict=False):
        axes.plot(
            [speeds[convention] for speeds in computed.values()],
            [100 * quality[name] for name in computed],
            marker,
            markersize=7,
            markerfacecolor="none",
            markeredgecolor=FAINT,
            label=f"by {convention}",
            zorder=2,
        )
    for style, (mode, speeds) in zip(STYLES * (1 + len(measured) // len(STYLES)), measured.items(), strict=False):
        medians = [median for median, _, _ in speeds.values()]
        below = [median - low for median, low, _ in speeds.values()]
        above = [high - median for median, _, high in speeds.values()]
        axes.errorbar(
            medians,
            [100 * quality[name] for name in speeds],
            xerr=[below, above],
            color=style.color,
            marker=style.marker,
            linestyle="",
            markersize=6,
            elinewidth=1.2,
            capsize=3,
            label=f"measured, {mode}",
            zorder=3,
        )
    axes.set_xlabel("speed-up over the plain model")
    axes.set_ylabel(f"{metric} (%)")
    axes.set_title(wrapped(title, 6.2, 11), loc="left", fontsize=11, color=INK)
    axes.margins(x=0.12, y=0.18)
    plain(axes, grid="both")
    handles, _ = axes.get_legend_handles_labels()
    legend_below(figure, handles)
    _name_points(axes, quality, computed, measured)
    return figure


def _name_points(
    axes: Axes,
    quality: Mapping[str, float],
    computed: Mapping[str, Mapping[str, float]],
    measured: Mapping[str, Mapping[str, tuple[float, float, float]]],
) -> None:
    """Write the name of each operating point beside its fastest marker."""
    speeds = {
        name: [*computed[name].values(), *(speed for mode in measured.values() for speed in mode.get(name, ()))]
        for name in quality
    }
    labels = [PointLabel(name, max(speeds[name]), 100 * value) for name, value in quality.items()]
    place_labels(axes, labels, [(speed, 100 * quality[name]) for name in quality for speed in speeds[name]], ring=4)
