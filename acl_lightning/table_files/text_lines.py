"""Reader of files with a text per line."""

from __future__ import annotations

from collections.abc import Iterator

from acl_lightning.table_files.base import CHUNK_ROWS, Chunk, chunked

#: Name of the column.
TEXT = "text"


class TextLinesTable:
    """A text per line, in the column `text`. A blank line is an empty text.

    Args:
        name: Name for messages.
        lines: Number and text of every line.
    """

    unit = "line"
    columns: tuple[str, ...] = (TEXT,)

    def __init__(self, name: str, lines: Iterator[tuple[int, str]]) -> None:
        self.name, self._lines = name, lines

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the rows in chunks; see `Table.chunks`."""
        rows = ((number, [line.removesuffix("\n").removesuffix("\r")]) for number, line in self._lines)
        return chunked(rows, self.columns, size)
