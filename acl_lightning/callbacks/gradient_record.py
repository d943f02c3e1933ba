"""`gradient_watch.csv`: how two gradients stood to each other, step by step and scope by scope."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from acl_lightning.errors import UserError

FILE_NAME = "gradient_watch.csv"
COLUMNS = ("step", "term", "scope", "group", "cosine", "angle", "norm_protected", "norm_term")


class Record(NamedTuple):
    """One comparison of a term's gradient with the protected term's.

    Attributes:
        step: training batches before this one, over all epochs: optimiser steps, unless several batches make a step.
        term: name of the compared term.
        scope: over which gradients: the class of the scope with its arguments, such as `TopLayers(1)`.
        group: within a partition, the common beginning of its parameters' names; empty where a scope is one group.
        cosine: of the angle; NaN where a gradient is not finite.
        norm_protected: Euclidean norm of the protected term's gradient over what both terms reach.
        norm_term: that of the other term's.
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
        """The angle in degrees; NaN where the cosine is."""
        return math.degrees(math.acos(self.cosine)) if math.isfinite(self.cosine) else math.nan

    @property
    def conflict(self) -> bool:
        """Whether ACL-Grad would discard the term here: a negative inner product, or none that is finite."""
        return not self.cosine >= 0


def csv_text(records: Iterable[Record]) -> str:
    """`COLUMNS` as CSV: angles in degrees, eight significant digits, an empty cell for what is not finite."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for exact in records:
        # Rounded first, else the angle would change in its last digit when a file is read and written again.
        record = exact._replace(cosine=float(f"{exact.cosine:.8g}"))
        numbers = (record.cosine, record.angle, record.norm_protected, record.norm_term)
        writer.writerow([*record[:4], *(f"{value:.8g}" if math.isfinite(value) else "" for value in numbers)])
    return text.getvalue()


def read_records(path: Path) -> list[Record]:
    """What `csv_text` wrote, in the same order; an empty list where there is no file.

    Raises:
        UserError: the file is something else.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return [_record(row) for row in csv.DictReader(lines)]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} as GradientProbe writes it", f"{error!r}", "Move the file away.") from error


def _record(row: dict[str, str]) -> Record:
    cosine, norm_protected, norm_term = (float(row[name] or "nan") for name in ("cosine", *COLUMNS[-2:]))
    return Record(int(row["step"]), row["term"], row["scope"], row["group"], cosine, norm_protected, norm_term)
