"""Maps of embeddings in two dimensions, with a column per run or exit."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from acl_lightning.figures.layout import add_title, legend_below, shortened
from acl_lightning.figures.projection import Vectors, has_tsne, principal_components, tsne
from acl_lightning.figures.style import FAINT, INK, Style, distinct_styles

#: Coordinates of samples and of label embeddings, (n, 2) and (C, 2).
Coordinates = tuple[Vectors, Vectors]

#: Smallest ratio of height and width of the panels of principal components: two classes lie nearly on a line.
FLATTEST = 0.5

#: Largest number of classes with a style, and the name of all others.
MAX_CLASSES = 24
OTHER_CLASSES = "other classes"


@dataclass(frozen=True)
class EmbeddingMap:
    """Data of a column of the figure.

    Attributes:
        title: Heading of the column.
        vectors_nD: Unit vectors of the samples. If a vector is not finite, a note replaces the points.
        labels_n: Class of each sample.
        label_vectors_CD: Unit vectors of the label embeddings; (0, D) if there are none.
        measures: Name -> value, printed below the column; NaN is printed as "undefined".
    """

    title: str
    vectors_nD: Vectors
    labels_n: NDArray[np.int64]
    label_vectors_CD: Vectors
    measures: Mapping[str, float]


def embedding_map_figure(columns: Sequence[EmbeddingMap], label_names: Sequence[str], *, title: str) -> Figure:
    """Draw the samples of each column by their first two principal components and, below, by t-SNE.

    Samples are points, label embeddings are stars. The label embeddings are projected on the principal components of
    the samples; t-SNE embeds both jointly. All panels of principal components have the same scale, so that distances
    can be compared. Panels are mirrored so that the first class is on the left. Classes differ by marker and colour.
    Of more than `MAX_CLASSES` classes, the most frequent have a style and a star, and all others share a grey one.
    Without scikit-learn the t-SNE panels are replaced by a note in the legend. A single column is drawn as a row.

    Args:
        columns: At least one column; all columns are of the same task.
        label_names: Name of each class.
        title: Task, split and number of samples.
    """
    assert columns
    columns, label_names = _most_frequent(columns, label_names)
    components = [_components(column) for column in columns]
    neighbours = [_neighbours(column) for column in columns]
    limits = _common_limits([points for points, _ in components], flattest=1 if len(columns) == 1 else FLATTEST)
    styles = [Style(FAINT, ".", ":") if name == OTHER_CLASSES else style for name, style in _styles(label_names)]
    figure, panels = _panels(len(columns), 2 if any(neighbours) else 1, limits.height)
    for position, column in enumerate(columns):
        points, share = components[position]
        _draw(panels[0, position], points, column, styles, f"principal components, {_percent(share)} of the variance")
        panels[0, position].set(xlim=limits.x, ylim=limits.y)
        panels[0, position].set_box_aspect(limits.height)
        heading = "\n".join(textwrap.wrap(column.title, 40))
        panels[0, position].set_title(heading, loc="left", fontsize=10, color=INK)
        if len(panels) == 2:
            _draw(panels[1, position], neighbours[position], column, styles, "t-SNE")
        _foot(panels[0 if len(columns) == 1 else -1, position], column.measures)
    stars = any(len(column.label_vectors_CD) for column in columns)
    remark = "" if has_tsne() else "t-SNE needs scikit-learn (extra tsne)"
    _legend(figure, label_names, styles, stars=stars, remark=remark)
    add_title(figure, title)
    return figure


def _most_frequent(
    columns: Sequence[EmbeddingMap], label_names: Sequence[str]
) -> tuple[list[EmbeddingMap], Sequence[str]]:
    """Return the columns with at most `MAX_CLASSES` classes, and one more for all others."""
    if len(label_names) <= MAX_CLASSES:
        return list(columns), label_names
    counts = np.bincount(np.concatenate([column.labels_n for column in columns]), minlength=len(label_names))
    kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_CLASSES])
    position = np.full(len(label_names), MAX_CLASSES)
    position[kept] = np.arange(MAX_CLASSES)
    reduced = [
        dataclasses.replace(
            column,
            labels_n=position[column.labels_n],
            label_vectors_CD=column.label_vectors_CD[kept] if len(column.label_vectors_CD) else column.label_vectors_CD,
        )
        for column in columns
    ]
    return reduced, [*(label_names[index] for index in kept), OTHER_CLASSES]


def _styles(label_names: Sequence[str]) -> list[tuple[str, Style]]:
    return list(zip(label_names, distinct_styles(len(label_names)), strict=True))


def _panels(columns: int, kinds: int, height: float) -> tuple[Figure, NDArray[Any]]:
    """Return a figure and its axes [kind, column]; the height of the upper panels is `height` times their width."""
    layout = ConstrainedLayoutEngine(h_pad=0.06)
    if columns == 1:
        figure = Figure(figsize=(0.4 + 3.4 * kinds, 5.0), layout=layout)
        axes = figure.subplots(1, kinds, squeeze=False).T
    else:
        figure = Figure(figsize=(0.4 + 3.4 * columns, 1.9 + 3.4 * (height + kinds - 1)), layout=layout)
        axes = figure.subplots(kinds, columns, squeeze=False, height_ratios=[height, 1][:kinds])
    return figure, axes


def _finite(column: EmbeddingMap) -> bool:
    return len(column.vectors_nD) > 0 and bool(
        np.isfinite(column.vectors_nD).all() and np.isfinite(column.label_vectors_CD).all()
    )


def _components(column: EmbeddingMap) -> tuple[Coordinates | None, float]:
    if not _finite(column):
        return None, math.nan
    points, stars, share = principal_components(column.vectors_nD, column.label_vectors_CD)
    return _first_class_left((points, stars), column.labels_n), share


def _neighbours(column: EmbeddingMap) -> Coordinates | None:
    coordinates = tsne(column.vectors_nD, column.label_vectors_CD) if _finite(column) else None
    return None if coordinates is None else _first_class_left(coordinates, column.labels_n)


def _first_class_left(drawn: Coordinates, labels_n: NDArray[np.int64]) -> Coordinates:
    """Mirror the coordinates if the first class is on the right; the sides of both projections are arbitrary."""
    points, stars = drawn
    across_n = points[:, 0] - points[:, 0].mean()
    side = np.array([-1.0 if across_n[labels_n == labels_n.min()].mean() > 0 else 1.0, 1.0])
    return points * side, stars * side


class _Limits(NamedTuple):
    x: tuple[float, float]
    y: tuple[float, float]
    height: float


def _common_limits(drawn: Sequence[Coordinates | None], *, flattest: float) -> _Limits:
    """Return limits that contain all coordinates, and the ratio of height and width that gives both axes one scale."""
    rows = [np.concatenate(points) for points in drawn if points is not None]
    stacked = np.concatenate(rows) if rows else np.zeros((1, 2))
    low, high = stacked.min(axis=0), stacked.max(axis=0)
    longest = max(float((high - low).max()), 1e-3)
    reach = 0.58 * np.maximum(high - low, flattest * longest)
    lower, upper = (low + high) / 2 - reach, (low + high) / 2 + reach
    return _Limits((lower[0], upper[0]), (lower[1], upper[1]), float(reach[1] / reach[0]))


def _draw(axes: Axes, drawn: Coordinates | None, column: EmbeddingMap, styles: Sequence[Style], kind: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(FAINT)
    axes.set_box_aspect(1)
    axes.margins(0.1)
    axes.annotate(
        kind, (0, 1), (5, -4), xycoords="axes fraction", textcoords="offset points", va="top", fontsize=7.5,
        color="#555555", zorder=6,
    )  # fmt: skip
    if drawn is None:
        axes.text(0.5, 0.5, "no finite embeddings", transform=axes.transAxes, ha="center", color=INK)
        return
    points, stars = drawn
    for label, style in enumerate(styles):
        members = points[column.labels_n == label]
        axes.scatter(
            members[:, 0],
            members[:, 1],
            s=17,
            marker=style.marker,
            facecolor=style.color,
            alpha=0.55,
            linewidth=0,
            zorder=2,
        )
    for style, star in zip(styles, stars, strict=False):
        axes.scatter(star[0], star[1], s=420, marker="*", facecolor="white", linewidth=0, zorder=4)
        axes.scatter(star[0], star[1], s=300, marker="*", facecolor=style.color, edgecolor=INK, linewidth=1.2, zorder=5)


def _foot(axes: Axes, measures: Mapping[str, float]) -> None:
    """Write the measures in two columns below a panel."""
    cells = [f"{name.replace('_', ' '):<16}{_value(value):>10}" for name, value in measures.items()]
    middle = (len(cells) + 1) // 2
    pairs = zip_longest(cells[:middle], cells[middle:], fillvalue="")
    text = "\n".join("   ".join(pair).rstrip() for pair in pairs)
    axes.set_xlabel(text, fontsize=6.5, family="monospace", color=INK, loc="left", linespacing=1.5)


def _legend(figure: Figure, label_names: Sequence[str], styles: Sequence[Style], *, stars: bool, remark: str) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=style.marker, color=style.color, markersize=6, label=shortened(name))
        for name, style in zip(label_names, styles, strict=True)
    ]
    if stars:
        star = Line2D([], [], linestyle="", marker="*", color="white", markeredgecolor=INK, markersize=13)
        star.set_label("label embedding")
        handles.append(star)
    legend_below(figure, handles, remark or None, by_row=True)


def _value(value: float) -> str:
    if not math.isfinite(value):
        return "undefined"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if math.isfinite(share) else "none"
