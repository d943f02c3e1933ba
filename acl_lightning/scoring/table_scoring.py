"""Scoring of a table with a package, block by block."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from acl_lightning.errors import UserError
from acl_lightning.scoring.gold import gold_label
from acl_lightning.scoring.score_file import ScoreFile
from acl_lightning.serving import AdaptiveSession, Answers, Manifest, Text
from acl_lightning.table_files.base import Cell, Chunk, Table

#: Number of rows that are sorted by length, computed together and written together.
BLOCK_ROWS = 1024

#: Text before the name of an input column that has the name of an answer column.
INPUT = "input_"


@dataclass(frozen=True)
class SampleColumns:
    """Columns that are read.

    Attributes:
        text: Names of the columns with the texts of a sample, one or two.
        label: Name of the column with labels; None without labels.
    """

    text: tuple[str, ...]
    label: str | None = None


def answer_columns(manifest: Manifest) -> dict[str, str]:
    """Return the names of the answer columns and their types in Arrow."""
    if not manifest.label_names:
        return {"label": "double", "exit_layer": "int64"}
    return {"label": "string", "confidence": "double", "exit_layer": "int64"}


def output_names(table: Table, answers: Mapping[str, str]) -> dict[str, str]:
    """Return the name in the output of each input column: `input_` comes before the name of an answer column.

    Raises:
        UserError: The new name is that of another column.
    """
    names = {column: INPUT + column if column in answers else column for column in table.columns}
    repeated = [column for column in table.columns if names[column] != column and names[column] in table.columns]
    if repeated:
        raise UserError(
            f"no column {names[repeated[0]]!r} beside {repeated[0]!r} in {table.name}", "both", "Rename one of them."
        )
    return names


def score(
    session: AdaptiveSession,
    table: Table,
    columns: SampleColumns,
    file: ScoreFile,
    *,
    skips_invalid: bool = False,
    report_rows: Callable[[int], None] = lambda _: None,
) -> None:
    """Answer every row of a table and append its columns and its answer to a file, in the order of the table.

    Memory is bounded: `BLOCK_ROWS` rows are read, sorted by length, answered and written. Rows that the file contains
    already are compared with the input and left out.

    Args:
        session: The package at an operating point.
        table: The input.
        columns: Columns that are read.
        file: The output; its tally counts the rows. It is not finished.
        skips_invalid: Whether rows without a valid text are written without an answer, instead of refused.
        report_rows: Called after each block with the number of rows in the output.

    Raises:
        UserError: A row has no valid text or an unknown label (the message names the row), or the file refuses.
    """
    answers = answer_columns(session.manifest)
    names = output_names(table, answers)
    for chunk in table.chunks(BLOCK_ROWS):
        written = file.new_rows(chunk.columns)
        if written < len(chunk):
            block = _after(chunk, written)
            scored = _score_block(session, table, columns, block, file, skips_invalid=skips_invalid)
            own = {names.get(name, name): values for name, values in block.columns.items()}
            file.append({**own, **{name: scored[name] for name in answers}})
        report_rows(max(file.tally.rows, file.resumed))


def _after(chunk: Chunk, rows: int) -> Chunk:
    """Return a chunk without its first rows."""
    if not rows:
        return chunk
    return Chunk({name: values[rows:] for name, values in chunk.columns.items()}, chunk.numbers[rows:])


def _score_block(
    session: AdaptiveSession,
    table: Table,
    columns: SampleColumns,
    block: Chunk,
    file: ScoreFile,
    *,
    skips_invalid: bool,
) -> dict[str, list[Cell]]:
    """Answer the rows of a block, count them, and return the answer columns; None where a row has no valid text."""
    absent = [None] * len(block)
    parts = [block.columns.get(column, absent) for column in columns.text]
    texts: list[Text] = []
    valid: list[int] = []
    for row, values in enumerate(zip(*parts, strict=True)):
        text = values[0] if len(values) == 1 else values
        try:
            _check_text(session, values, columns.text)
        except UserError as error:
            if skips_invalid:
                continue
            raise UserError(
                f"{error.expected}, {table.unit} {block.numbers[row]} of {table.name}",
                error.found,
                "Correct the row, or add --skip-invalid to write such rows without an answer.",
            ) from error
        texts.append(text)
        valid.append(row)
    labels = None
    if columns.label is not None:
        gold = block.columns.get(columns.label, absent)
        places = (f"column {columns.label!r} of {table.name}, {table.unit} {block.numbers[row]}" for row in valid)
        label_names = session.manifest.label_names
        labels = [gold_label(gold[row], label_names, place) for row, place in zip(valid, places, strict=True)]
    answers = session.decide(session.encoder(texts))
    file.tally.add(answers, labels)
    file.tally.skip(len(block) - len(valid))
    return _cells(answers, valid, len(block))


def _check_text(session: AdaptiveSession, values: Sequence[Cell], columns: Sequence[str]) -> None:
    """Raise `UserError` unless the texts of a sample can be answered."""
    for column, value in zip(columns, values, strict=True):
        if value is None or (isinstance(value, str) and not value.strip()):
            raise UserError(f"a text in column {column!r}", "an empty value", "")
        if not isinstance(value, str):
            raise UserError(f"a text in column {column!r}", f"a value of the type {type(value).__name__}", "")
        if len(value) > session.encoder.max_characters:
            limit = session.encoder.max_characters
            raise UserError(f"at most {limit} characters in column {column!r}", f"{len(value)}", "")
        if not _is_unicode(value):
            raise UserError(f"Unicode text in column {column!r}", "bytes that are not text", "")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cells(answers: Answers, valid: Sequence[int], rows: int) -> dict[str, list[Cell]]:
    """Return the answer columns for all rows of a block."""
    label: list[Cell] = [None] * rows
    confidence: list[Cell] = [None] * rows
    layer: list[Cell] = [None] * rows
    results = zip(valid, answers.labels, answers.confidences.tolist(), answers.exit_layers.tolist(), strict=True)
    for row, name, probability, exit_layer in results:
        label[row], layer[row] = name, exit_layer
        if name is not None:
            confidence[row] = round(probability, 6)
    return {"label": label, "confidence": confidence, "exit_layer": layer}
