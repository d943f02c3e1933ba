"""Labelled rows of a table, checked and written as an Arrow file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from acl_lightning.data.tables.cells import is_missing, label_of, number_of, text_of
from acl_lightning.data.tables.layout import TableLayout
from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.table_files.base import CHUNK_ROWS, Cell, Chunk, Table

#: Column with the line, or row, of each row in its file.
NUMBER = "number"
#: Column with the label: the name of the class as text, or the number of a regression.
LABEL = "label"


@dataclass
class MissingValues:
    """Rows without a text or a label.

    Attributes:
        counts: Column -> number of rows without a value.
        first: Column -> number of the first of them, a line or row.
        rows: Number of rows without a value in at least one column.
    """

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    rows: int = 0

    def describe(self, unit: str) -> str:
        """Return `3 rows without 'body' (first: line 17)` for each column."""
        return ", ".join(
            f"{count} row{'s' * (count > 1)} without {column!r} (first: {unit} {self.first[column]})"
            for column, count in self.counts.items()
        )

    def add(self, columns: list[str], number: int) -> None:
        """Count a row.

        Args:
            columns: Columns without a value.
            number: Line or row in the file.
        """
        self.rows += 1
        for column in columns:
            self.counts[column] = self.counts.get(column, 0) + 1
            self.first.setdefault(column, number)


class LabelledRows:
    """The texts and labels of a table.

    Args:
        table: The table, whose columns were checked.
        layout: Its text, label and id columns.
        regression: Whether the labels are numbers.
        skips_incomplete: Whether rows without a text or a label are left out instead of refused.
    """

    def __init__(self, table: Table, layout: TableLayout, *, regression: bool, skips_incomplete: bool) -> None:
        self.table, self.layout = table, layout
        self.regression, self.skips_incomplete = regression, skips_incomplete
        self.missing = MissingValues()
        self._ids: dict[str, int] = {}

    @property
    def schema(self) -> pa.Schema:
        """Text columns, `LABEL` and `NUMBER`."""
        label = pa.float64() if self.regression else pa.large_string()
        texts = [(column, pa.large_string()) for column in self.layout.text]
        return pa.schema([*texts, (LABEL, label), (NUMBER, pa.int64())])

    def write(self, path: Path) -> None:
        """Write all rows in the streaming format of Arrow, in bounded memory, and a note about skipped rows.

        Raises:
            UserError: The table is malformed, incomplete or empty; a value has the wrong kind; or an id is repeated.
        """
        num_rows = 0
        with replaced_atomically(path) as temporary, pa.ipc.new_stream(temporary, self.schema) as file:
            for batch in self.batches():
                file.write_batch(batch)
                num_rows += batch.num_rows
            if not num_rows:
                name = self.table.name
                raise UserError(f"rows with a text and a label in {name}", "none", "Give a file with rows.")

        if self.missing.rows:
            skipped = f"{self.missing.rows} rows are skipped: {self.missing.describe(self.table.unit)}"
            write_text_atomically(note_of(path), skipped)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the complete rows as batches of Arrow; raise at the end if rows are incomplete and not skipped."""
        for chunk in self.table.chunks(CHUNK_ROWS):
            yield self._batch(chunk)
        if self.missing.rows and not self.skips_incomplete:
            columns = ", ".join(self.missing.counts)
            raise UserError(
                f"a value in every row of {self.table.name} for {columns}",
                self.missing.describe(self.table.unit),
                "Complete the rows, or set data.skip_incomplete to true to leave them out.",
            )

    def _batch(self, chunk: Chunk) -> pa.RecordBatch:
        required = self.layout.required
        absent = [None] * len(chunk)
        cells = [chunk.columns.get(column, absent) for column in required]
        kept: list[list[object]] = [[] for _ in self.schema]
        for number, *values in zip(chunk.numbers, *cells, strict=True):
            without = [column for column, value in zip(required, values, strict=True) if is_missing(value)]
            if without:
                self.missing.add(without, number)
                continue
            self._check_id(values, number)
            for column, target, value in zip(self.layout.text, kept, values, strict=False):
                target.append(value if isinstance(value, str) else text_of(value, self._place(column, number)))
            kept[-2].append(self._label(values[len(self.layout.text)], number))
            kept[-1].append(number)
        arrays = [pa.array(values, type=column.type) for values, column in zip(kept, self.schema, strict=True)]
        return pa.record_batch(arrays, schema=self.schema)

    def _label(self, value: Cell, number: int) -> str | float:
        if isinstance(value, str) and not self.regression:
            return value
        place = self._place(self.layout.label, number)
        return number_of(value, place) if self.regression else label_of(value, place)

    def _check_id(self, values: list[Cell], number: int) -> None:
        if self.layout.row_id is None:
            return
        row_id = str(values[-1])
        if row_id in self._ids:
            unit = self.table.unit
            raise UserError(
                f"a different id in every row of {self.table.name}",
                f"{row_id!r} in {unit} {self._ids[row_id]} and {unit} {number}",
                f"Correct the column {self.layout.row_id!r}, or set data.row_id to null.",
            )
        self._ids[row_id] = number

    def _place(self, column: str, number: int) -> str:
        return f"column {column!r} of {self.table.name}, {self.table.unit} {number}"


def note_of(path: Path) -> Path:
    """Return the path of the note about rows that are missing in a file of labelled rows."""
    return path.with_suffix(".skipped")
