"""Is an exit right as often as it is sure?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from acl_lightning.figures.style import FAINT, INK, STYLES, plain

#: (mean confidence, accuracy) of the bins of an exit, as fractions.
Bins = Sequence[tuple[float, float]]


def reliability_figure(
    before: Mapping[int, Bins], after: Mapping[int, Bins], errors: Mapping[int, tuple[float, float]], *, title: str
) -> Figure:
    """Draw accuracy over confidence for each exit, as it is and with its temperature; the diagonal is perfection.

    Args:
        before: layer -> bins of the logits as they are; empty bins left out.
        after: layer -> bins of the logits divided by the exit's temperature.
        errors: layer -> expected calibration error before and after, as fractions.
        title: task, half and number of samples.
    """
    columns = min(4, len(before))
    rows = -(-len(before) // columns)
    figure = Figure(figsize=(0.6 + 2.5 * columns, 1.0 + 2.3 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for one, layer in zip(axes, before, strict=False):
        one.plot([0, 100], [0, 100], color=FAINT, linewidth=1.0)
        for style, bins, name in ((STYLES[1], before[layer], "as it is"), (STYLES[0], after[layer], "calibrated")):
            one.plot(
                [100 * confidence for confidence, _ in bins], [100 * accuracy for _, accuracy in bins],
                color=style.color, linestyle=style.line, marker=style.marker, markersize=4, linewidth=1.4, label=name,
            )  # fmt: skip
        raw, calibrated = errors[layer]
        one.set_title(f"exit {layer}: {100 * raw:.1f} → {100 * calibrated:.1f}", loc="left", fontsize=9, color=INK)
        plain(one, grid="both")
        one.set_xlabel("confidence (%)", fontsize=9)
    for spare in axes[len(before) :]:
        spare.set_axis_off()
    figure.supylabel("accuracy (%)", fontsize=10)
    figure.suptitle(f"{title}; calibration error before → after", x=0.01, ha="left", fontsize=11, color=INK)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure
