"""Reader of texts from a user's file: columns of a table, or plain lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

from acl_lightning.errors import UserError

#: Words that are likely column names in a header and unlikely to be a whole text.
HEADER_WORDS = {"text", "sentence", "label", "labels", "score", "index", "idx", "id", "premise", "hypothesis"}

#: Texts of each row: one, or two for pairs.
Texts = list[tuple[str, ...]]
#: Line number and columns of each row of a table.
Rows = Iterator[tuple[int, dict[str, object]]]


def read_texts(
    path: Path,
    text_columns: Sequence[str],
    rows: int,
    *,
    columns: Sequence[str] | None = None,
    label_names: Sequence[str] = (),
) -> Texts:
    """Read the texts of the first `rows` rows of a file.

    `.csv` (with quotes), `.tsv` (separated by tabs, without quotes) and `.jsonl` (one object per line) are read by
    column. Any other file holds one text per line, or a pair separated by a tab; blank lines are skipped.

    Args:
        path: File in UTF-8.
        text_columns: Names of the task's text columns, one or two.
        rows: Largest number of rows.
        columns: Names of the columns to read. None: `text_columns`.
        label_names: Names of the task's labels, by which a column of labels is recognized.

    Raises:
        UserError: The file cannot be read, lacks a column or a text, or is a table without the suffix of a table.
    """
    width = len(text_columns)
    if columns is not None and len(columns) != width:
        raise UserError(
            f"{width} column(s) in --text_column", f"{len(columns)}", f"Set --text_column to {width} column name(s)."
        )
    reader = READERS.get(path.suffix.lower())
    if reader is None and columns is not None:
        raise UserError(
            "a .csv, .tsv or .jsonl file together with --text_column",
            f"{path.name}",
            "Rename the file to .csv, .tsv or .jsonl, or remove --text_column.",
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if reader is None:
                texts = _lines(file, path, text_columns, rows, label_names)
            else:
                texts = _columns(reader(file, path), path, columns or text_columns, rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"a text file at {path}", f"{reason}", "Set --data to a readable file in UTF-8.") from error
    if not texts:
        raise UserError(f"texts in {path}", "none", "Set --data to a file with at least one row.")
    return texts


def _columns(table: Rows, path: Path, names: Sequence[str], rows: int) -> Texts:
    texts = []
    for number, row in islice(table, rows):
        missing = [name for name in names if name not in row]
        if missing:
            raise UserError(
                f"a column {missing[0]!r} in {path}",
                f"the columns {', '.join(map(str, row))}",
                "Set --text_column NAME (two names for pairs).",
            )
        values = [row[name] for name in names]
        if not all(isinstance(value, str) for value in values):
            raise UserError(f"a text in each row of {path}", f"none in line {number}", "Remove the line.")
        texts.append(tuple(str(value) for value in values))
    return texts


def _lines(file: TextIO, path: Path, text_columns: Sequence[str], rows: int, label_names: Sequence[str]) -> Texts:
    lines = list(islice((line.rstrip("\r\n") for line in file if line.strip()), rows))
    table = _table_in(lines, text_columns, label_names)
    if table is not None:
        raise UserError(
            f"one text per line in {path}",
            table,
            "Rename it to .csv, .tsv or .jsonl and set --text_column NAME, or remove the lines that are not texts.",
        )
    texts = [tuple(line.split("\t")) for line in lines]
    width = len(text_columns)
    for number, row in enumerate(texts, start=1):
        if len(row) != width:
            raise UserError(
                f"{width} text(s) per line in {path}, separated by tabs",
                f"{len(row)} in text {number}",
                "Correct the line.",
            )
    return texts


def _table_in(lines: Sequence[str], text_columns: Sequence[str], label_names: Sequence[str]) -> str | None:
    """Return what makes lines look like a table instead of texts; None if they are texts."""
    if not lines:
        return None
    if lines[0].lstrip().startswith("{") and lines[0].rstrip().endswith("}"):
        return "JSON objects"
    words = HEADER_WORDS | {name.lower() for name in text_columns}
    for delimiter, name in ((",", "comma"), ("\t", "tab")):
        header = [field.strip().strip('"').lower() for field in lines[0].split(delimiter)]
        if set(header) <= words or (len(header) > 1 and words & set(header) and all(map(str.isidentifier, header))):
            return f"a header, {lines[0][:60]!r}"
        fields = list(csv.reader(lines, delimiter=delimiter))
        if len(lines) > 1 and len({len(row) for row in fields}) == 1 and len(fields[0]) > len(text_columns):
            for number, column in enumerate(zip(*fields, strict=True), start=1):
                if all(_is_label(value.strip(), label_names) for value in column):
                    return f"labels or numbers in the {name}-separated column {number}"
    return None


def _is_label(value: str, label_names: Sequence[str]) -> bool:
    if value in label_names:
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True


def _separated(delimiter: str, *, quoted: bool) -> Callable[[TextIO, Path], Rows]:
    def read(file: TextIO, path: Path) -> Rows:
        if quoted:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
        else:
            reader = csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        header = next(reader, [])
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise UserError(
                    f"{len(header)} fields in {path}, line {reader.line_num}", f"{len(row)}", "Correct the line."
                )
            yield reader.line_num, dict(zip(header, row, strict=True))

    return read


def _objects(file: TextIO, path: Path) -> Rows:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(f"a JSON object in {path}, line {number}", f"{line.strip()[:60]!r}", "Correct the line.")
        yield number, row


READERS: dict[str, Callable[[TextIO, Path], Rows]] = {
    ".csv": _separated(",", quoted=True),
    ".tsv": _separated("\t", quoted=False),
    ".jsonl": _objects,
}
