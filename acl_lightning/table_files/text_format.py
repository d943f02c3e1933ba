"""Format of text files with a table: delimiter, quotation marks, encoding, and header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from acl_lightning.errors import UserError
from acl_lightning.table_files.base import Table
from acl_lightning.table_files.delimited import DelimitedTable
from acl_lightning.table_files.json_lines import JSONLinesTable
from acl_lightning.table_files.lines import check_encoding
from acl_lightning.table_files.text_lines import TextLinesTable


@dataclass(frozen=True)
class TextFormat:
    """Format of text files.

    Attributes:
        delimiter: Character between the fields of CSV and TSV; None: the comma for CSV and the tab for TSV.
        quoting: Whether fields of CSV and TSV may be in quotation marks; None: for CSV, not for TSV.
        encoding: Encoding of the text.
        header: Names of the columns of CSV and TSV without a header line; None: the first line is the header.
        option: Text before the name of a setting in messages: `data.` or `--`.

    Raises:
        UserError: The delimiter is not a single character, or the encoding is unknown.
    """

    delimiter: str | None = None
    quoting: bool | None = None
    encoding: str = "utf-8"
    header: tuple[str, ...] | None = None
    option: str = field(default="data.", repr=False)  # the representation is part of cache keys

    def __post_init__(self) -> None:
        check_encoding(self.encoding, self.option)
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            setting = f"{self.option}delimiter"
            raise UserError(f"a single character for {setting}", repr(self.delimiter), f"Set {setting} to ',' or ';'.")

    def open(self, name: str, lines: Iterator[tuple[int, str]], kind: str, *, keeps_damaged: bool = False) -> Table:
        """Return the table in lines of text.

        Args:
            name: Name for messages.
            lines: Number and text of every line.
            kind: `csv`, `tsv`, `jsonl`, or `text` for a text per line.
            keeps_damaged: Whether lone surrogates in texts of JSON Lines are kept instead of refused.
        """
        if kind == "jsonl":
            return JSONLinesTable(name, lines, keeps_damaged=keeps_damaged)
        if kind == "text":
            return TextLinesTable(name, lines)
        return DelimitedTable(
            name,
            lines,
            delimiter=self.delimiter or ("," if kind == "csv" else "\t"),
            quoting=kind == "csv" if self.quoting is None else self.quoting,
            header=self.header,
            option=self.option,
        )
