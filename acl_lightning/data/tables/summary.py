"""Report about labelled splits: class balance, small classes, and duplicates across the splits."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from datasets import Dataset

#: Number of training rows below which a class is reported as small.
SMALL_CLASS = 10
#: Largest number of classes that the table lists; of more classes, the largest and the smallest are listed.
LISTED_CLASSES = 20


def class_balance(label_names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> str:
    """Return a table of the number of rows of each class in each split, the most frequent class first.

    Args:
        label_names: Names of the classes.
        counts: Split name -> number of rows of each class. The first split is the training split.

    >>> print(class_balance(["ham", "spam"], {"train": [30, 10], "validation": [3, 1]}))
    Class balance (2 classes)
    class  train         validation
    ham       30  75.0%           3  75.0%
    spam      10  25.0%           1  25.0%
    """
    first = next(iter(counts.values()))
    order = sorted(range(len(label_names)), key=lambda index: -first[index])
    totals = {split: max(1, sum(column)) for split, column in counts.items()}
    rows = [["class", *(text for split in counts for text in (split, ""))]]
    for index in _listed(order):
        if index is None:
            rows.append([f"… {len(order) - LISTED_CLASSES} more", *["", ""] * len(counts)])
            continue
        cells = [label_names[index]]
        for split, column in counts.items():
            cells += [f"{column[index]}", f"{100 * column[index] / totals[split]:.1f}%"]
        rows.append(cells)
    widths = [max(len(row[position]) for row in rows) for position in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([f"Class balance ({len(label_names)} classes)", *lines])


def warn_about_small_classes(label_names: Sequence[str], counts: Sequence[int]) -> None:
    """Warn about classes with few training rows.

    Args:
        label_names: Names of the classes.
        counts: Number of training rows of each class.
    """
    small = sorted((count, name) for count, name in zip(counts, label_names, strict=True) if count < SMALL_CLASS)
    if small:
        listed = ", ".join(f"{name!r} ({count})" for count, name in small[:5])
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        warnings.warn(
            f"{len(small)} of {len(label_names)} classes have fewer than {SMALL_CLASS} training rows: {listed}{more}",
            stacklevel=2,
        )


def warn_about_duplicates(splits: Mapping[str, Dataset], text_columns: Sequence[str]) -> None:
    """Warn about rows of a later split whose texts are those of a training row: they are no test of the model.

    Args:
        splits: Split name -> rows. The first split is the training split.
        text_columns: Names of the text columns.
    """
    names = list(splits)
    training = np.unique(_text_hashes(splits[names[0]], text_columns))
    for name in names[1:]:
        hashes = _text_hashes(splits[name], text_columns)
        repeated = np.flatnonzero(np.isin(hashes, training))
        if len(repeated):
            text = splits[name][int(repeated[0])][text_columns[0]]
            shown = text if len(text) <= 60 else f"{text[:57]}..."
            warnings.warn(
                f"{len(repeated)} of {len(hashes)} rows ({100 * len(repeated) / len(hashes):.1f} %) of the {name} "
                f"split have the texts of a training row, for example {shown!r}: they do not test the model",
                stacklevel=2,
            )


def _text_hashes(rows: Dataset, text_columns: Sequence[str]) -> np.ndarray:
    """Return a 64-bit hash of the texts of each row."""
    hashes = np.empty(len(rows), dtype=np.uint64)
    position = 0
    for columns in rows.select_columns(list(text_columns)).iter(batch_size=10_000):
        for texts in zip(*(columns[name] for name in text_columns), strict=True):
            digest = hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
            hashes[position] = int.from_bytes(digest, "little")
            position += 1
    return hashes


def _listed(order: Sequence[int]) -> list[int | None]:
    """Return the classes to list; None stands for those that are left out."""
    if len(order) <= LISTED_CLASSES:
        return list(order)
    half = LISTED_CLASSES // 2
    return [*order[:half], None, *order[-half:]]
