"""Layout of titles, legends and layer names, so that no text is cut off."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend

from acl_lightning.figures.style import INK

#: Points per inch.
INCH = 72

#: Largest number of characters per line of a legend entry.
ENTRY = 60


def wrapped(text: str, width: float, size: float) -> str:
    """Return `text` with line breaks so that no line is wider than `width` inches at the font size `size`."""
    return "\n".join(line for part in text.splitlines() for line in _wrapped_line(part, width, size))


def _wrapped_line(line: str, width: float, size: float) -> list[str]:
    characters = max(len(line), 1)
    while True:
        lines = textwrap.wrap(line, characters) or [""]
        widest = max(_width(part, size) for part in lines)
        if widest <= width or characters == 1:
            return lines
        characters = max(1, min(characters - 1, int(characters * width / widest)))


def _width(line: str, size: float) -> float:
    """Return the width of a line in inches."""
    canvas = FigureCanvasAgg(Figure(dpi=INCH))
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    return float(renderer.get_text_width_height_descent(line, FontProperties(size=size), False)[0]) / INCH


def shortened(text: str, characters: int = 24) -> str:
    """Return a name of the data in at most `characters` characters, escaped so that it is not read as a formula."""
    cut = text if len(text) <= characters else f"{text[: characters - 1].rstrip()}…"
    return cut.replace("$", r"\$")


def add_title(figure: Figure, title: str, size: float = 11) -> None:
    """Write a title at the upper left of the figure, wrapped to its width; further lines increase its height."""
    width, height = figure.get_size_inches()
    text = wrapped(title, width - 0.2, size)
    figure.suptitle(text, x=0.01, ha="left", fontsize=size, color=INK)
    figure.set_size_inches(width, height + text.count("\n") * 1.25 * size / INCH)


def legend_below(
    figure: Figure, handles: Sequence[Artist], title: str | None = None, *, by_row: bool = False, size: float = 9
) -> Legend | None:
    """Draw a legend below the axes, in as many columns as fit; further rows increase the height of the figure.

    Args:
        figure: A figure with constrained layout.
        handles: Labelled artists; without any, no legend is drawn.
        title: Heading of the legend.
        by_row: Whether the order of the entries is row by row instead of column by column.
        size: Font size.

    Returns:
        The legend, or None if there are no handles.
    """
    if not handles:
        return None
    width, height = figure.get_size_inches()
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    for columns in range(min(len(handles), 8), 0, -1):
        ordered = [handle for column in range(columns) for handle in handles[column::columns]] if by_row else handles
        labels = ["\n".join(textwrap.wrap(str(handle.get_label()), ENTRY)) for handle in ordered]
        legend = figure.legend(
            ordered, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=size,
            title=None if title is None else wrapped(title, width - 0.4, size), title_fontsize=size,
            columnspacing=1.4, handlelength=2.2,
        )  # fmt: skip
        box = legend.get_window_extent(renderer)
        if box.width <= (width - 0.1) * figure.dpi or columns == 1:
            break
        legend.remove()
    figure.set_size_inches(width, height + max(0.0, box.height / figure.dpi - 0.3))
    return legend


def name_layers(axes: Axes, speeds: Mapping[int, float]) -> None:
    """Write the layers of the static exits on the upper edge at their speed-ups, as many as fit.

    Args:
        axes: Axes whose horizontal axis is the layer speed-up.
        speeds: Layer -> layer speed-up if all samples leave there.
    """
    if not speeds:
        return
    least_distance = 0.035 * (max(speeds.values()) - min(speeds.values()))
    apart: dict[int, float] = {}
    deepest = max(speeds)
    for layer, speed in sorted(speeds.items(), key=lambda item: (item[0] != deepest, item[0])):
        if all(abs(speed - taken) >= least_distance for taken in apart.values()):
            apart[layer] = speed
    upper = axes.secondary_xaxis("top")
    named = sorted(apart)
    upper.set_xticks([apart[layer] for layer in named], [str(layer) for layer in named], fontsize=8)
    upper.set_xlabel("layer of the static exit", fontsize=8)
    upper.spines["top"].set_visible(False)


def widen(axes: Axes, least: float) -> None:
    """Extend the range of the vertical axis to at least `least`."""
    low, high = axes.get_ylim()
    if high - low < least:
        axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)
