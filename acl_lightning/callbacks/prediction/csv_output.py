"""Predictions as CSV, from JSON Lines, in bounded memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from acl_lightning.files import replaced_atomically

#: Field that becomes a column per class, `probability_CLASS`.
PROBABILITIES = "probabilities"


def write_csv(source: Path, target: Path) -> None:
    """Write the rows of a JSON Lines file as CSV with a header, atomically.

    Missing values are empty cells, `true` and `false` are written so, and lists and objects as JSON. The columns are
    the fields of all rows, in order of appearance.

    Args:
        source: JSON Lines file with an object per line.
        target: CSV file to write.

    Raises:
        UserError: The file system refuses.
    """
    header: dict[str, None] = {}
    for row in _rows(source):
        header.update(dict.fromkeys(row))
    with replaced_atomically(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(header), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in _rows(source))


def _rows(source: Path) -> Iterator[dict[str, object]]:
    with source.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            row: dict[str, object] = json.loads(line)
            probabilities = row.pop(PROBABILITIES, None)
            if isinstance(probabilities, dict):
                row |= {f"probability_{name}": value for name, value in probabilities.items()}
            yield row


def _cell(value: object) -> object:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return json.dumps(value, ensure_ascii=False)
