"""CSV text of the tables in a run directory."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a header and rows as CSV. Numbers keep their full precision; None gives an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def csv_rows(path: Path, *, killed: bool = False) -> list[dict[str, str]]:
    """Return the rows of a CSV file by column name. Use it within `reading`.

    Args:
        path: The file.
        killed: Whether the writer may have been killed: an incomplete last line is then left out.

    Raises:
        ValueError: The file has no header, its last line is incomplete, or a row has more or fewer cells than the
            header.
    """
    text = path.read_bytes().decode("utf-8")
    if not text.endswith("\n"):
        if not killed:
            raise ValueError("an incomplete last line")
        text = text[: text.rfind("\n") + 1]
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = list(reader)
    if not reader.fieldnames and not killed:
        raise ValueError("no header")
    for row in rows:
        if None in row or None in row.values():
            raise ValueError("a row with another number of cells than the header")
    return rows


def number(cell: str) -> float:
    """Return the number in a cell; NaN for an empty cell."""
    return float(cell) if cell else math.nan
