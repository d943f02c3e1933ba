"""Placement of text labels beside points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from acl_lightning.figures.layout import INCH
from acl_lightning.figures.style import FAINT, INK

#: Candidate distances (points) between the edges of a marker and its label, and candidate directions (radians).
DISTANCES = (1, 4, 8, 14, 22, 34, 50)
DIRECTIONS = tuple(math.radians(90 + 22.5 * n) for n in range(16))

#: Half the side (points) of the square that a marker covers, and of the square of a labelled point.
MARKER, RING = 3.5, 6.5


class PointLabel(NamedTuple):
    """A label of a point.

    Attributes:
        text: Text of the label.
        x: Horizontal position of the point in data units.
        y: Vertical position of the point in data units.
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
    """Write each label beside its point so that it covers no marker, no other label and as few lines as possible.

    Call it after everything else is drawn, including the limits and the legend. A label that does not fit beside its
    point is written further away and connected to it by a thin line.

    Args:
        axes: Axes to write to.
        labels: Labels in the order of importance.
        markers: Further points, in data units, that must stay visible; the points of the labels always stay visible.
        ring: Half the side (points) of the square that the marker of a labelled point covers.
        size: Font size.

    Returns:
        The text objects, in the order of `labels`.
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
    """Return the offset (points) of the text's centre from its point that covers least, and the box of the text."""
    box = Text.get_window_extent(text)  # without the connecting line
    best: tuple[float, tuple[float, float], Bbox] | None = None
    for distance in DISTANCES:
        for angle in DIRECTIONS:
            x = math.cos(angle) * (distance + ring + box.width / scale / 2)
            y = math.sin(angle) * (distance + ring + box.height / scale / 2)
            moved = box.translated(x * scale, y * scale)
            outside = moved.x0 < inside.x0 or moved.x1 > inside.x1 or moved.y0 < inside.y0 or moved.y1 > inside.y1
            covered = sum(moved.overlaps(other) for other in taken)
            crossed = int(((lines > moved.min) & (lines < moved.max)).all(axis=1).sum())
            cost = 1e5 * outside + 1e3 * covered + crossed + 0.7 * distance
            if best is None or cost < best[0]:
                best = (cost, (x, y), moved)
    assert best is not None
    return best[1], best[2]


def _gap(offset: tuple[float, float], box: Bbox, scale: float) -> float:
    """Return the distance (points) from a point to the text at that offset."""
    return math.hypot(
        max(0.0, abs(offset[0]) - box.width / scale / 2), max(0.0, abs(offset[1]) - box.height / scale / 2)
    )


def _squares(axes: Axes, points: Iterable[tuple[float, float]], reach: float) -> list[Bbox]:
    """Return squares of half side `reach` (pixels) around the points, a single square for coinciding points."""
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
