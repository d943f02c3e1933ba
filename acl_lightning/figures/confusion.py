"""Confusion matrices of several exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from acl_lightning.figures.layout import add_title, shortened
from acl_lightning.figures.style import INK

#: Number of samples of each pair (label, prediction) that occurs.
Pairs = Mapping[tuple[int, int], int]

#: Name of the row and column that holds the classes that are left out.
OTHER = "other classes"
#: Largest number of classes whose cells are labelled with their number of samples.
LABELLED_CLASSES = 12


def confusion_figure(
    matrices: Mapping[int, Pairs], label_names: Sequence[str], *, title: str, max_classes: int = 20
) -> Figure:
    """Draw the confusion matrices of the first, a middle and the last exit.

    A row is a label, a column a prediction; the shade is the share of the label's samples. If there are more than
    `max_classes` classes, those with the most errors at the last exit are drawn, and all others are one row and column.

    Args:
        matrices: Layer of the exit -> number of samples of every pair (label, prediction).
        label_names: Names of the classes.
        title: Task, split and number of samples.
        max_classes: Largest number of classes that are drawn.
    """
    layers = sorted(matrices)
    shown = sorted({layers[0], layers[(len(layers) - 1) // 2], layers[-1]})
    classes = _classes(matrices[layers[-1]], len(label_names), max_classes)
    names = [shortened(label_names[index], 18) for index in classes]
    if len(classes) < len(label_names):
        names.append(OTHER)
    side = 1.6 + 0.24 * len(names)
    figure = Figure(figsize=(1.2 + side * len(shown), side + 0.8), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False).flat
    for axes, layer in zip(panels, shown, strict=True):
        _draw(axes, _matrix(matrices[layer], classes, len(names)), names, first=layer == shown[0])
        axes.set_title(f"exit at layer {layer}", loc="left", fontsize=10, color=INK)
    samples = sum(matrices[layers[-1]].values())
    left_out = f"; the {len(classes)} classes with the most errors" if len(classes) < len(label_names) else ""
    add_title(figure, f"{title}, n = {samples}{left_out}; shade: share of a label's samples")
    return figure


def _classes(pairs: Pairs, num_classes: int, max_classes: int) -> list[int]:
    """Return the classes to draw, ascending."""
    if num_classes <= max_classes:
        return list(range(num_classes))
    errors = [0] * num_classes
    for (label, prediction), count in pairs.items():
        if label != prediction:
            errors[label] += count
            errors[prediction] += count
    return sorted(sorted(range(num_classes), key=lambda index: -errors[index])[:max_classes])


def _matrix(pairs: Pairs, classes: Sequence[int], size: int) -> np.ndarray:
    position = {index: number for number, index in enumerate(classes)}
    matrix = np.zeros((size, size), dtype=np.int64)
    for (label, prediction), count in pairs.items():
        matrix[position.get(label, size - 1), position.get(prediction, size - 1)] += count
    return matrix


def _draw(axes: Axes, matrix: np.ndarray, names: Sequence[str], *, first: bool) -> None:
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    positions = range(len(names))
    axes.set_xticks(positions, names, rotation=90, fontsize=8)
    axes.set_yticks(positions, names if first else [""] * len(names), fontsize=8)
    axes.set_xlabel("prediction")
    if first:
        axes.set_ylabel("label")
    if len(names) <= LABELLED_CLASSES:
        for row, column in np.ndindex(*matrix.shape):
            color = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=7, color=color)
