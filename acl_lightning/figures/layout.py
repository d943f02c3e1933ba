"""Text that stays on the page: wrapped titles, legends below the axes, labels beside their points."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from acl_lightning.figures.style import FAINT, INK

#: Points per inch.
INCH = 72

#: Most characters of a legend entry in one line.
ENTRY = 60

#: Distances (points) from the edge of a marker to the edge of its label that are tried, and the directions.
DISTANCES = (1, 4, 8, 14, 22, 34, 50)
DIRECTIONS = tuple(math.radians(90 + 22.5 * n) for n in range(16))

#: Half the side (points) of the square that a marker covers, and of the ring around a point that has a label.
MARKER, RING = 3.5, 6.5


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
    """Return a name from the data, cut to so many characters, as text that matplotlib does not read as a formula."""
    cut = text if len(text) <= characters else f"{text[: characters - 1].rstrip()}…"
    return cut.replace("$", r"\$")


def add_title(figure: Figure, title: str, size: float = 11) -> None:
    """Write a title at the upper left of the figure, wrapped to its width; each further line makes it higher."""
    width, height = figure.get_size_inches()
    text = wrapped(title, width - 0.2, size)
    figure.suptitle(text, x=0.01, ha="left", fontsize=size, color=INK)
    figure.set_size_inches(width, height + text.count("\n") * 1.25 * size / INCH)


def legend_below(
    figure: Figure, handles: Sequence[Artist], title: str | None = None, *, by_row: bool = False, size: float = 9
) -> Legend | None:
    """Draw a legend below the axes, in as many columns as fit the width; further rows make the figure higher.

    Args:
        figure: A figure with constrained layout.
        handles: Labelled artists; the legend is left out where there are none.
        title: Heading of the legend.
        by_row: Whether the entries are to be read row by row instead of column by column.
        size: Font size.

    Returns:
        The legend, or None.
    """
    if not handles:
        return None
    width, height = figure.get_size_inches()
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    for columns in range(min(len(handles), 8), 0, -1):
        ordered = [one for n in range(columns) for one in handles[n::columns]] if by_row else handles
        labels = ["\n".join(textwrap.wrap(str(one.get_label()), ENTRY)) for one in ordered]
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
    """Name on the upper edge the layers of the static exits at their speed-ups, as many as fit.

    Args:
        axes: Axes whose horizontal axis is the layer speed-up.
        speeds: Layer -> layer speed-up if all samples leave there.
    """
    if not speeds:
        return
    room = 0.035 * (max(speeds.values()) - min(speeds.values()))
    apart: dict[int, float] = {}
    deepest = max(speeds)
    for layer, speed in sorted(speeds.items(), key=lambda item: (item[0] != deepest, item[0])):
        if all(abs(speed - taken) >= room for taken in apart.values()):
            apart[layer] = speed
    upper = axes.secondary_xaxis("top")
    upper.set_xticks(list(apart.values()), [str(layer) for layer in apart], fontsize=8)
    upper.set_xlabel("layer of the static exit", fontsize=8)
    upper.spines["top"].set_visible(False)


class PointLabel(NamedTuple):
    """A text that names a point.

    Attributes:
        text: The name.
        x: Place of the point, in data units.
        y: Place of the point, in data units.
        color: Colour of the text.
    """

    text: str
    x: float
    y: float
    color: str = INK


def place_labels(
    axes: Axes,
    labels: Sequence[PointLabel],
    markers: Iterable[tuple[float, float]],
    *,
    ring: float = RING,
    size: float = 9,
) -> list[Annotation]:
    """Write each label beside its point, where it covers no marker, no other label and as little of a line as possible.

    Everything else must have been drawn, the limits and the legend included. A label that finds no room beside its
    point is further away, joined to it by a thin line.

    Args:
        axes: Where to write.
        labels: In order of importance.
        markers: Points that must stay visible, in data units; those of the labels are included anyway.
        ring: Half the side (points) of the square that the marker of a labelled point covers.
        size: Font size.

    Returns:
        The texts.
    """
    labels = [label for label in labels if math.isfinite(label.x) and math.isfinite(label.y)]
    figure = axes.figure
    assert isinstance(figure, Figure)
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    figure.draw_without_rendering()
    scale = figure.dpi / INCH
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    taken = _squares(axes, markers, MARKER * scale)
    taken += _squares(axes, [(label.x, label.y) for label in labels], ring * scale)
    lines = _line_samples(axes)
    texts = []
    for label in labels:
        text = axes.annotate(
            label.text, (label.x, label.y), (0, 0), textcoords="offset points", ha="center", va="center", fontsize=size,
            color=label.color, zorder=6, path_effects=[withStroke(linewidth=2.0, foreground="white")],
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.7, "shrinkA": 0, "shrinkB": ring},
        )  # fmt: skip
        text.set_in_layout(False)
        text.update_positions(renderer)
        offset, box = _best_offset(text, taken, lines, axes.bbox, ring, scale)
        text.set_position(offset)
        assert text.arrow_patch is not None
        text.arrow_patch.set_visible(_gap(offset, box, scale) > DISTANCES[3] + ring)
        taken.append(box)
        texts.append(text)
    return texts


def _best_offset(
    text: Annotation, taken: Sequence[Bbox], lines: NDArray[np.float64], inside: Bbox, ring: float, scale: float
) -> tuple[tuple[float, float], Bbox]:
    """Return the offset (points) from the point to the text's centre with the least cover, and the text's box there."""
    box = Text.get_window_extent(text)  # without the line to the point
    found: tuple[float, tuple[float, float], Bbox] | None = None
    for distance in DISTANCES:
        for angle in DIRECTIONS:
            x = math.cos(angle) * (distance + ring + box.width / scale / 2)
            y = math.sin(angle) * (distance + ring + box.height / scale / 2)
            moved = box.translated(x * scale, y * scale)
            outside = moved.x0 < inside.x0 or moved.x1 > inside.x1 or moved.y0 < inside.y0 or moved.y1 > inside.y1
            covered = sum(moved.overlaps(other) for other in taken)
            crossed = int(((lines > moved.min) & (lines < moved.max)).all(axis=1).sum())
            cost = 1e5 * outside + 1e3 * covered + crossed + 0.7 * distance
            if found is None or cost < found[0]:
                found = (cost, (x, y), moved)
    assert found is not None
    return found[1], found[2]


def _gap(offset: tuple[float, float], box: Bbox, scale: float) -> float:
    """Return the distance (points) from a point to the text at that offset."""
    return math.hypot(
        max(0.0, abs(offset[0]) - box.width / scale / 2), max(0.0, abs(offset[1]) - box.height / scale / 2)
    )


def _squares(axes: Axes, points: Iterable[tuple[float, float]], reach: float) -> list[Bbox]:
    """Return the squares of half the side `reach` (pixels) around the points; coinciding points have one."""
    finite = [point for point in points if np.isfinite(point).all()]
    centres = axes.transData.transform(np.array(finite).reshape(-1, 2)).round(1)
    return [Bbox([(x - reach, y - reach), (x + reach, y + reach)]) for x, y in np.unique(centres, axis=0)]


def _line_samples(axes: Axes) -> NDArray[np.float64]:
    """Return points (n, 2) of all lines of the axes, about three pixels apart, in pixels."""
    samples: list[NDArray[Any]] = []
    for line in axes.get_lines():
        if line.get_linestyle() == "None":
            continue
        ends = line.get_transform().transform(np.asarray(line.get_xydata(), dtype=float).reshape(-1, 2))
        for start, end in pairwise(ends):
            if np.isfinite([start, end]).all():
                steps = np.linspace(0, 1, 1 + min(1000, int(math.dist(start, end) // 3)))[:, None]
                samples.append(start + steps * (end - start))
    return np.concatenate(samples) if samples else np.zeros((0, 2))
