"""Contract of the table readers: column names, and chunks of consecutive rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

#: Value of a cell: text of a CSV or TSV file, any value of JSON, or a value of Arrow as a Python object. None and, in
#: CSV and TSV files, the empty text stand for a missing value.
Cell = object

#: Number of rows of a chunk when a whole table is read.
CHUNK_ROWS = 10_000


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a table.

    Attributes:
        columns: Column name -> values.
        numbers: Number of each row in its file, from 1: the line in a text file, otherwise the row.
    """

    columns: Mapping[str, Sequence[Cell]]
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self) -> Iterator[dict[str, Cell]]:
        """Yield every row by column name."""
        for values in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, values, strict=True))


class Table(Protocol):
    """A table that is read once, from the first row to the last.

    Attributes:
        name: Name for messages: a path, `standard input`, or a data set with its split.
        unit: Unit in which `Chunk.numbers` counts: `line` or `row`.
        columns: Names of the columns.
    """

    name: str
    unit: str
    columns: tuple[str, ...]

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield all rows in chunks of `size`; the last chunk may be smaller, and no chunk is empty.

        Raises:
            UserError: The table is malformed. The message names the table and the line or row.
        """
        ...


def chunked(rows: Iterator[tuple[int, Sequence[Cell]]], columns: Sequence[str], size: int) -> Iterator[Chunk]:
    """Yield numbered rows as chunks.

    Args:
        rows: Number of each row and its values in the order of `columns`.
        columns: Names of the columns.
        size: Number of rows of a chunk.
    """
    numbers: list[int] = []
    values: list[Sequence[Cell]] = []
    for number, row in rows:
        numbers.append(number)
        values.append(row)
        if len(numbers) == size:
            yield _chunk(numbers, values, columns)
            numbers, values = [], []
    if numbers:
        yield _chunk(numbers, values, columns)


def _chunk(numbers: list[int], values: list[Sequence[Cell]], columns: Sequence[str]) -> Chunk:
    return Chunk(dict(zip(columns, zip(*values, strict=True), strict=True)), numbers)
