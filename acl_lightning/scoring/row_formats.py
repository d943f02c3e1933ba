"""Formats of the output of `score`: blocks of rows as bytes that are appended to a part file."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from acl_lightning.errors import UserError
from acl_lightning.scoring.source import check_pyarrow
from acl_lightning.table_files.base import Cell, Table
from acl_lightning.table_files.json_lines import JSONLinesTable

if TYPE_CHECKING:
    import pyarrow as pa

#: Suffixes of outputs.
SUFFIXES = (".csv", ".jsonl", ".parquet")

#: Name of a column -> its values.
Columns = Mapping[str, Sequence[Cell]]


class RowFormat(Protocol):
    """A file format to which blocks of rows are appended."""

    def header(self) -> bytes:
        """Return the beginning of a part file."""
        ...

    def encode(self, columns: Columns) -> bytes:
        """Return a block of rows as bytes."""
        ...

    def complete(self, part: Path, path: Path) -> None:
        """Turn a complete part file into the output, atomically."""
        ...


class JSONLines:
    """A JSON object per line. Values without a JSON form, such as dates of Parquet files, are written as text."""

    def header(self) -> bytes:
        """Return nothing."""
        return b""

    def encode(self, columns: Columns) -> bytes:
        """Return a line per row."""
        names = list(columns)
        rows = (dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True))
        text = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        return _utf8(text)

    def complete(self, part: Path, path: Path) -> None:
        """Rename the part file."""
        part.replace(path)


class CommaSeparated:
    """CSV with a header line. Missing values are empty; lists, objects and truth values are written as JSON.

    Args:
        columns: Names of the columns.
        name: Name of the input, for messages.
    """

    def __init__(self, columns: Sequence[str], name: str) -> None:
        self.columns, self.name = tuple(columns), name

    def header(self) -> bytes:
        """Return the line with the names of the columns."""
        return self._lines([self.columns])

    def encode(self, columns: Columns) -> bytes:
        """Return a line, or several where a text has line breaks, per row.

        Raises:
            UserError: There is a column that the header lacks.
        """
        others = [column for column in columns if column not in self.columns]
        if others:
            raise UserError(
                f"the keys {', '.join(self.columns)} in every row of {self.name}, as in its first rows",
                f"a further key {others[0]!r}",
                "Set --output to a .jsonl file.",
            )
        values = [list(map(_cell, columns[column])) for column in self.columns]
        return self._lines(zip(*values, strict=True))

    def complete(self, part: Path, path: Path) -> None:
        """Rename the part file."""
        part.replace(path)

    def _lines(self, rows: object) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
        return _utf8(text.getvalue())


class Parquet:
    """Parquet. A part file holds a stream of Arrow per block, since Parquet files cannot be continued.

    Args:
        schema: Columns of the output with their types.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema

    def header(self) -> bytes:
        """Return nothing."""
        return b""

    def encode(self, columns: Columns) -> bytes:
        """Return the block as a stream of Arrow."""
        import pyarrow as pa  # noqa: PLC0415

        cells = {name: list(map(_without_surrogates, values)) for name, values in columns.items()}
        buffer = io.BytesIO()
        with pa.ipc.new_stream(buffer, self.schema) as stream:
            stream.write_table(pa.table(cells, schema=self.schema))
        return buffer.getvalue()

    def complete(self, part: Path, path: Path) -> None:
        """Write all blocks as a Parquet file."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        temporary = path.with_name(f".{path.name}.complete")
        try:
            with pa.OSFile(str(part)) as source, pq.ParquetWriter(temporary, self.schema) as file:
                while source.tell() < source.size():
                    file.write_table(pa.ipc.open_stream(source).read_all())
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        part.unlink()


def row_format(path: Path, table: Table, answers: Mapping[str, str], names: Mapping[str, str]) -> RowFormat:
    """Return the format of an output.

    Args:
        path: The output; its suffix selects the format.
        table: The input.
        answers: Column with answers -> its type in Arrow.
        names: Column of the input -> its name in the output.

    Raises:
        UserError: The suffix is unknown, or the types of a Parquet file are not known before all rows are read.
    """
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        return JSONLines()
    if suffix == ".csv":
        return CommaSeparated([*(names[column] for column in table.columns), *answers], table.name)
    if suffix != ".parquet":
        raise UserError(
            f"an output with one of the suffixes {', '.join(SUFFIXES)}", path.name, "Set --output scores.jsonl."
        )
    if isinstance(table, JSONLinesTable):
        raise UserError(
            "a .jsonl or .csv output for JSON Lines, whose types are not known in advance",
            path.name,
            "Set --output to a .jsonl file.",
        )
    check_pyarrow("--output")
    import pyarrow as pa  # noqa: PLC0415

    types = {field.name: field for field in getattr(table, "schema", ())}
    fields = [
        types[column].with_name(names[column]) if column in types else pa.field(names[column], pa.string())
        for column in table.columns
    ]
    return Parquet(pa.schema([*fields, *(pa.field(name, pa.type_for_alias(kind)) for name, kind in answers.items())]))


def _cell(value: Cell) -> Cell:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _without_surrogates(value: Cell) -> Cell:
    return _utf8(value).decode() if isinstance(value, str) else value


def _utf8(text: str) -> bytes:
    """Return a text in UTF-8; bytes of the input that were not text become U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return re.sub("[\ud800-\udfff]", "\ufffd", text).encode()
