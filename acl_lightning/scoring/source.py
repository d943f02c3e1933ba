"""Input of `score`: its format, and the columns with texts and labels."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acl_lightning.errors import UserError
from acl_lightning.table_files.base import Table
from acl_lightning.table_files.delimited import DelimitedTable
from acl_lightning.table_files.lines import STANDARD_INPUT, decoded_lines
from acl_lightning.table_files.text_format import TextFormat

#: Suffix of an input -> its format.
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".txt": "text",
}

#: Names of the formats.
KINDS = tuple(dict.fromkeys(FORMATS.values()))

#: Text before the name of a setting in messages.
OPTION = "--"


@dataclass(frozen=True)
class SourceFormat:
    """Format of an input.

    Attributes:
        kind: `csv`, `tsv`, `jsonl`, `parquet` or `text` (a text per line); None: by the suffix of the file.
        delimiter: Character between the fields of CSV and TSV; None: the comma for CSV and the tab for TSV.
        quoting: Whether fields may be in quotation marks; None: for CSV, not for TSV.
        encoding: Encoding of text files.
        keeps_damaged: Whether bytes that are not text in this encoding are kept, as lone surrogates, which
            `AdaptiveSession` refuses sample by sample. Otherwise the first of them is an error.

    Raises:
        UserError: The delimiter is not a single character, or the encoding is unknown.
    """

    kind: str | None = None
    delimiter: str | None = None
    quoting: bool | None = None
    encoding: str = "utf-8"
    keeps_damaged: bool = False

    def __post_init__(self) -> None:
        self.text_format()

    def text_format(self) -> TextFormat:
        """Return the format of text files."""
        return TextFormat(self.delimiter, self.quoting, self.encoding, option=OPTION)


def open_source(location: str, source_format: SourceFormat) -> Table:
    """Open an input and read the names of its columns.

    Args:
        location: Path, or `-` for standard input.
        source_format: Its format.

    Raises:
        UserError: There is no such file, its format is unknown, or its beginning is malformed.
    """
    path = None if location == STANDARD_INPUT else Path(location).expanduser()
    kind = _kind(path, source_format.kind)
    if kind == "parquet":
        check_pyarrow("--input")
        from acl_lightning.table_files.parquet import ParquetRows  # noqa: PLC0415 - imports pyarrow

        assert path is not None
        return ParquetRows(path)
    name = "standard input" if path is None else str(path)
    errors = "surrogateescape" if source_format.keeps_damaged else "strict"
    lines = decoded_lines(path, name, source_format.encoding, option=OPTION, errors=errors)
    return source_format.text_format().open(name, lines, kind, keeps_damaged=source_format.keeps_damaged)


def check_pyarrow(option: str) -> None:
    """Raise `UserError` if pyarrow, which reads and writes Parquet, is not installed.

    Args:
        option: Option that names the Parquet file.
    """
    if importlib.util.find_spec("pyarrow") is None:
        remedy = f"Install it: pip install pyarrow, or set {option} to a .csv or .jsonl file."
        raise UserError("the package pyarrow, for Parquet", "none", remedy)


def _kind(path: Path | None, kind: str | None) -> str:
    """Return the format of an input."""
    if path is None:
        if kind is None or kind == "parquet":
            actual = kind or "none"
            raise UserError(
                "--input-format csv, tsv, jsonl or text for standard input", actual, "Add --input-format jsonl."
            )
        return kind
    if not path.is_file():
        actual = "a directory" if path.is_dir() else "no such file"
        raise UserError(f"a file {path}", actual, "Set --input to a file, or to - for standard input.")
    kind = kind or FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UserError(
            f"an input with one of the suffixes {', '.join(FORMATS)}",
            f"{path.name}",
            f"Set --input-format to one of {', '.join(KINDS)}.",
        )
    return kind


def unsplit(table: Table) -> str:
    """Return the delimiter in the name of a table's only column, which shows that it was read with another delimiter.

    Args:
        table: The table.

    Returns:
        A comma, semicolon, tab or vertical bar; empty if there is none, or if the table is a text file or has several
        columns.
    """
    if len(table.columns) > 1 or not isinstance(table, DelimitedTable):
        return ""
    return next((mark for mark in ";\t|," if mark in table.columns[0]), "")


def check_columns(columns: Sequence[str], table: Table, option: str) -> None:
    """Raise `UserError` if a table lacks a column; the message lists its columns and names the nearest.

    Args:
        columns: Names of the columns that are read.
        table: The table.
        option: Option that names them.
    """
    for column in columns:
        if column in table.columns:
            continue
        lower = {name.lower(): name for name in reversed(table.columns)}
        close = difflib.get_close_matches(column.lower(), lower, n=1, cutoff=0.5)
        remedy = f"Did you mean {option} {lower[close[0]]}?" if close else f"Set {option} to one of them."
        if delimiter := unsplit(table):
            remedy = f"Set --delimiter {delimiter!r}."
        raise UserError(f"a column {column!r} in {table.name}", f"the columns {', '.join(table.columns)}", remedy)
