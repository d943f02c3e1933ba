"""Reader of JSON Lines files: an object per line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain, islice

from acl_lightning.errors import UserError
from acl_lightning.table_files.base import CHUNK_ROWS, Cell, Chunk

#: Beginning of the escape sequence of half of a character outside of the Basic Multilingual Plane.
_ESCAPED_SURROGATE = "\\ud"

#: Number of rows whose keys are the columns of the table.
ROWS_FOR_COLUMNS = 1000


class JSONLinesTable:
    """JSON Lines. A key that a row lacks is a missing value. Blank lines are skipped.

    The columns are the keys of the first rows, in order of appearance. A chunk also has the other keys of its rows.

    Args:
        name: Name for messages.
        lines: Number and text of every line.
        rows_for_columns: Number of rows that are read for the names of the columns.
        keeps_damaged: Whether texts with lone surrogates are kept instead of refused.

    Raises:
        UserError: The file is empty, or one of the first lines is malformed.
    """

    unit = "line"

    def __init__(
        self,
        name: str,
        lines: Iterator[tuple[int, str]],
        *,
        rows_for_columns: int = ROWS_FOR_COLUMNS,
        keeps_damaged: bool = False,
    ) -> None:
        self.name, self.keeps_damaged = name, keeps_damaged
        rows = self._objects(lines)
        first = list(islice(rows, rows_for_columns))
        if not first:
            raise UserError(f"JSON objects in {name}", "an empty file", "Give a file with rows.")
        self.columns = tuple(dict.fromkeys(key for _, row in first for key in row))
        self._rows = chain(first, rows)

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the rows in chunks; see `Table.chunks`."""
        while numbered := list(islice(self._rows, size)):
            columns = dict.fromkeys([*self.columns, *(key for _, row in numbered for key in row)])
            yield Chunk(
                {column: [row.get(column) for _, row in numbered] for column in columns},
                [number for number, _ in numbered],
            )

    def _objects(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, dict[str, Cell]]]:
        for number, line in lines:
            if not line.strip():
                continue
            place = f"{self.name}, line {number}"
            if line.lstrip().startswith("["):
                raise UserError(
                    f"a JSON object in {place}",
                    "a list",
                    "Write an object per line: jq -c '.[]' FILE.json > FILE.jsonl.",
                )
            try:
                row = json.loads(line, object_pairs_hook=_without_repetition, parse_constant=_refused_constant)
            except (ValueError, RecursionError) as error:
                problem = f"invalid JSON ({error.msg})" if isinstance(error, json.JSONDecodeError) else str(error)
                raise UserError(f"a JSON object in {place}", problem, "Write an object per line.") from error
            if not self.keeps_damaged and _ESCAPED_SURROGATE in line.lower():
                _check_characters(row, place)
            if not isinstance(row, dict):
                raise UserError(f"a JSON object in {place}", f"a {type(row).__name__}", "Write an object per line.")
            yield number, row


def _check_characters(row: Cell, place: str) -> None:
    """Raise `UserError` if a text in `row` has half of a surrogate pair, which is no character and no UTF-8."""
    half = re.search("[\ud800-\udfff]", json.dumps(row, ensure_ascii=False))
    if half is not None:
        raise UserError(
            f"Unicode texts in {place}",
            f"\\u{ord(half[0]):04x}, half of a character (of an emoji that was cut off)",
            "Remove it from the text.",
        )


def _without_repetition(pairs: list[tuple[str, Cell]]) -> dict[str, Cell]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return row


def _refused_constant(name: str) -> Cell:
    raise ValueError(f"{name}, which is not JSON")
