"""`gradient_probe.csv`: comparisons of the gradients of two terms, step by step and scope by scope."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from acl_lightning.files import write_text_atomically
from acl_lightning.runs.names import EARLIER_GRADIENTS, GRADIENTS
from acl_lightning.runs.records.reading import reading
from acl_lightning.runs.records.tables import csv_rows, csv_text, number

COLUMNS = ("step", "term", "scope", "group", "cosine", "angle", "norm_protected", "norm_term")

#: Name of the scope with all parameters in one group.
ALL_PARAMETERS = "AllParameters"

#: Name of the scope with a group for each layer.
PER_LAYER = "PerLayer"


class GradientComparison(NamedTuple):
    """Comparison of the gradient of a term with the gradient of the protected term.

    Attributes:
        step: Number of training batches before this one, over all epochs: optimiser steps, unless several batches make
            a step.
        term: Name of the compared term.
        scope: Parameters that are compared: class of the scope with its arguments, such as `TopLayers(1)`.
        group: Within a partition, the common beginning of the names of the group's parameters; empty where the scope is
            one group.
        cosine: Cosine of the angle between the gradients; NaN where a gradient is not finite.
        norm_protected: Euclidean norm of the protected term's gradient over the parameters that both terms reach.
        norm_term: Euclidean norm of the other term's gradient over the same parameters.
    """

    step: int
    term: str
    scope: str
    group: str
    cosine: float
    norm_protected: float
    norm_term: float

    @property
    def angle(self) -> float:
        """Angle in degrees; NaN where the cosine is NaN."""
        return math.degrees(math.acos(self.cosine)) if math.isfinite(self.cosine) else math.nan

    @property
    def conflict(self) -> bool:
        """Whether ACL-Grad discards the term here: the inner product is negative or not finite."""
        return not self.cosine >= 0


def comparisons_text(comparisons: Iterable[GradientComparison]) -> str:
    """Return `COLUMNS` as CSV: angles in degrees, eight significant digits, an empty cell for what is not finite."""
    rows = []
    for exact in comparisons:
        # Rounded first: else the last digit of the angle would change when a file is read and written again.
        rounded = exact._replace(cosine=float(f"{exact.cosine:.8g}"))
        numbers = (rounded.cosine, rounded.angle, rounded.norm_protected, rounded.norm_term)
        rows.append([*rounded[:4], *(f"{value:.8g}" if math.isfinite(value) else "" for value in numbers)])
    return csv_text(COLUMNS, rows)


def write_comparisons(directory: Path, comparisons: Iterable[GradientComparison]) -> None:
    """Write `gradient_probe.csv`, atomically.

    Raises:
        UserError: The file system refuses; an earlier file is unchanged.
    """
    write_text_atomically(directory / GRADIENTS, comparisons_text(comparisons))


def read_comparisons(directory: str | os.PathLike[str]) -> list[GradientComparison]:
    """Return the comparisons in `gradient_probe.csv`, in the order of the file.

    Where there is no such file, `gradient_watch.csv` of an earlier version is read.

    Raises:
        MissingFile: There is no such file.
        UserError: It cannot be read, or is damaged.
    """
    path, earlier = Path(directory) / GRADIENTS, Path(directory) / EARLIER_GRADIENTS
    if earlier.exists() and not path.exists():
        path = earlier
    with reading(path, "the comparisons of GradientProbe", "Move the file away."):
        return [_comparison(row) for row in csv_rows(path)]


def _comparison(row: dict[str, str]) -> GradientComparison:
    cosine = number(row["cosine"])
    if abs(cosine) > 1:
        raise ValueError(f"cosine {cosine}")
    norms = number(row["norm_protected"]), number(row["norm_term"])
    return GradientComparison(int(row["step"]), row["term"], row["scope"], row["group"], cosine, *norms)
