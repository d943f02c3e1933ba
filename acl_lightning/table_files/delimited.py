"""Reader of CSV and TSV files, which refuses everything that has more than one reading."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence

from acl_lightning.errors import UserError
from acl_lightning.table_files.base import CHUNK_ROWS, Chunk, chunked

#: Largest number of characters of a field. A quotation mark that is never closed makes the rest of a file one field.
MAX_FIELD = 10_000_000

#: Share of rows with a field in quotation marks above which a file without quoting is reported.
QUOTED_SHARE = 0.05

#: Part of a message of the module csv -> what it means.
_PROBLEMS = {
    "unexpected end of data": "a quotation mark that is never closed",
    "expected after": "text after the closing quotation mark of a field",
    "field larger than": "a field that is too long, which a missing quotation mark may cause",
    "new-line character": "a carriage return inside a line",
}


class DelimitedTable:
    """CSV (RFC 4180, with a header) or TSV without quoting.

    With quoting, a field in quotation marks may contain delimiters, line breaks and doubled quotation marks. A
    quotation mark inside a field that does not begin with one is an ordinary character. Without quoting, every
    quotation mark is one. Blank lines are skipped. Every other row must have as many fields as the header.

    Args:
        name: Name for messages.
        lines: Number and text of every line.
        delimiter: Character between fields.
        quoting: Whether fields may be quoted.
        header: Names of the columns if the file has no header line; None if its first line is the header.
        option: Text before the name of a setting in messages.

    Raises:
        UserError: The header is missing, or two columns have the same name.
    """

    unit = "line"

    def __init__(
        self,
        name: str,
        lines: Iterator[tuple[int, str]],
        *,
        delimiter: str,
        quoting: bool,
        header: Sequence[str] | None = None,
        option: str = "data.",
    ) -> None:
        self.name, self.quoting, self.delimiter, self.option = name, quoting, delimiter, option
        self._rows = self._quoted(lines) if quoting else self._plain(lines)
        if header is None:
            _, header = next(self._rows, (0, []))
        if not header:
            raise UserError(f"a header line with column names in {name}", "an empty file", "Give a file with rows.")
        repeated = [column for column, count in Counter(header).items() if count > 1]
        if repeated:
            raise UserError(
                f"different column names in {name}", f"{repeated[0]!r} twice", "Rename one of the two columns."
            )
        self.columns = tuple(header)

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the rows in chunks; see `Table.chunks`."""
        return chunked(self._complete_rows(), self.columns, size)

    def _complete_rows(self) -> Iterator[tuple[int, list[str]]]:
        rows = quoted = 0
        for number, fields in self._rows:
            if len(fields) != len(self.columns):
                raise UserError(
                    f"{len(self.columns)} fields in {self.name}, line {number}, as in the header",
                    f"{len(fields)}",
                    self._advice(),
                )
            if not self.quoting and any(len(field) > 1 and field[0] == field[-1] == '"' for field in fields):
                quoted += 1
            rows += 1
            yield number, fields
        if quoted > QUOTED_SHARE * rows:
            warnings.warn(
                f"{quoted} of {rows} rows of {self.name} have a field in quotation marks, which are read as part of "
                f"the text. Set {self.option}quoting to true if they are not.",
                stacklevel=2,
            )

    def _advice(self) -> str:
        if self.quoting:
            return (
                "Put fields that contain the delimiter, a quotation mark or a line break in quotation marks, or set "
                f"{self.option}quoting to false if quotation marks are ordinary characters."
            )
        return f"Remove the tab or line break in the field, or set {self.option}quoting to true if fields are quoted."

    def _plain(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
        for number, line in lines:
            text = line.removesuffix("\n").removesuffix("\r")
            if text:
                yield number, text.split(self.delimiter)

    def _quoted(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(MAX_FIELD)
        first, last = 1, 0

        def texts() -> Iterator[str]:
            nonlocal last
            for last, line in lines:  # noqa: B007 - read after an error
                yield line

        reader = csv.reader(texts(), delimiter=self.delimiter, strict=True)
        while True:
            first = last + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                problem = next((text for part, text in _PROBLEMS.items() if part in str(error)), str(error))
                begin = f" of the row that begins in line {first}" if last > first else ""
                raise UserError(f"CSV in {self.name}, line {last}{begin}", problem, self._advice()) from error
            if fields:
                yield first, fields
