"""A representation as a map: samples as points, label embeddings as stars, one column per run or exit."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from acl_lightning.figures.projection import Vectors, has_tsne, principal_components, tsne
from acl_lightning.figures.style import FAINT, INK, STYLES, Style

#: Points and stars, (n, 2) and (C, 2).
Points = tuple[Vectors, Vectors]


@dataclass(frozen=True)
class EmbeddingMap:
    """What a column of the figure shows.

    Attributes:
        title: of the column.
        vectors_nD: unit vectors of the samples; a map of vectors that are not finite says so.
        labels_n: their classes.
        label_vectors_CD: unit vectors of the label embeddings; (0, D) where there are none.
        measures: name -> value, printed below the column; NaN reads "undefined".
    """

    title: str
    vectors_nD: Vectors
    labels_n: NDArray[np.int64]
    label_vectors_CD: Vectors
    measures: Mapping[str, float]


def embedding_map_figure(columns: Sequence[EmbeddingMap], label_names: Sequence[str], *, title: str) -> Figure:
    """Draw each column's samples by their two principal components, and below by t-SNE.

    The label embeddings go through the principal components of the samples; t-SNE embeds them jointly. All panels of
    principal components have one scale, so that what looks tighter is tighter. Classes are told apart by marker first
    and colour second. Without scikit-learn the figure has principal components alone, and says so. A single column is
    drawn as a row.

    Args:
        columns: at least one; all of one task.
        label_names: name of each class.
        title: task, split and number of samples.
    """
    assert columns
    components = [_components(column) for column in columns]
    neighbours = [_neighbours(column) for column in columns]
    kinds = 2 if any(neighbours) else 1
    shape = (1, kinds) if len(columns) == 1 else (kinds, len(columns))
    figure = Figure(figsize=(0.4 + 3.3 * shape[1], 1.5 + 3.3 * shape[0]), layout="constrained")
    panels = figure.subplots(*shape, squeeze=False).reshape(kinds, len(columns))
    styles = [STYLES[number % len(STYLES)] for number in range(len(label_names))]
    limits = _common_limits([points for points, _ in components])
    for position, column in enumerate(columns):
        points, share = components[position]
        _draw(panels[0, position], points, column, styles)
        panels[0, position].set(xlim=limits[0], ylim=limits[1])
        _head(panels[0, position], column.title, f"principal components, {_percent(share)} of the variance")
        if kinds == 2:
            _draw(panels[1, position], neighbours[position], column, styles)
            _head(panels[1, position], "", "t-SNE")
        _foot(panels[0 if len(columns) == 1 else -1, position], column.measures)
    _legend(figure, label_names, styles, "" if has_tsne() else "t-SNE needs scikit-learn (extra tsne)")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK)
    return figure


def _finite(column: EmbeddingMap) -> bool:
    return len(column.vectors_nD) > 0 and bool(
        np.isfinite(column.vectors_nD).all() and np.isfinite(column.label_vectors_CD).all()
    )


def _components(column: EmbeddingMap) -> tuple[Points | None, float]:
    if not _finite(column):
        return None, math.nan
    points, stars, share = principal_components(column.vectors_nD, column.label_vectors_CD)
    return (points, stars), share


def _neighbours(column: EmbeddingMap) -> Points | None:
    return tsne(column.vectors_nD, column.label_vectors_CD) if _finite(column) else None


def _common_limits(drawn: Sequence[Points | None]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of x and y, equally wide, that hold everything drawn."""
    rows = [np.concatenate(points) for points in drawn if points is not None]
    every = np.concatenate(rows) if rows else np.zeros((1, 2))
    low, high = every.min(axis=0), every.max(axis=0)
    half = max(float((high - low).max()), 1e-3) * 0.56
    middle = (low + high) / 2
    return (middle[0] - half, middle[0] + half), (middle[1] - half, middle[1] + half)


def _draw(axes: Axes, drawn: Points | None, column: EmbeddingMap, styles: Sequence[Style]) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(FAINT)
    axes.set_box_aspect(1)
    if drawn is None:
        axes.text(0.5, 0.5, "no finite embeddings", transform=axes.transAxes, ha="center", color=INK)
        return
    points, stars = drawn
    for label, style in enumerate(styles):
        mine = points[column.labels_n == label]
        axes.scatter(
            mine[:, 0], mine[:, 1], s=17, marker=style.marker, facecolor=style.color, alpha=0.55, linewidth=0, zorder=2
        )
    for style, star in zip(styles, stars, strict=False):
        axes.scatter(star[0], star[1], s=420, marker="*", facecolor="white", linewidth=0, zorder=4)
        axes.scatter(star[0], star[1], s=300, marker="*", facecolor=style.color, edgecolor=INK, linewidth=1.2, zorder=5)


def _head(axes: Axes, title: str, kind: str) -> None:
    if title:
        axes.set_title("\n".join(textwrap.wrap(title, 36)), loc="left", fontsize=10, color=INK, pad=16)
    axes.annotate(
        kind, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", fontsize=8, color="#555555"
    )


def _foot(axes: Axes, measures: Mapping[str, float]) -> None:
    """The measures in two columns under a panel."""
    cells = [f"{name.replace('_', ' '):<16}{_value(value):>9}" for name, value in measures.items()]
    half = (len(cells) + 1) // 2
    pairs = zip_longest(cells[:half], cells[half:], fillvalue="")
    text = "\n".join("   ".join(pair).rstrip() for pair in pairs)
    axes.set_xlabel(text, fontsize=6.5, family="monospace", color=INK, loc="left", linespacing=1.5)


def _legend(figure: Figure, label_names: Sequence[str], styles: Sequence[Style], remark: str) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=style.marker, color=style.color, markersize=6, label=name)
        for name, style in zip(label_names, styles, strict=True)
    ]
    star = Line2D([], [], linestyle="", marker="*", color="white", markeredgecolor=INK, markersize=13)
    star.set_label("label embedding")
    figure.legend(
        handles=[*handles, star], loc="outside lower center", ncols=len(handles) + 1, frameon=False, fontsize=9,
        title=remark or None, title_fontsize=8,
    )  # fmt: skip


def _value(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "undefined"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if math.isfinite(share) else "none"
