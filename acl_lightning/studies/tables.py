"""Tables for people (Markdown and terminal) and for programs (CSV)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import rich.table
from rich import box
from rich.text import Text

Cell = str | float | None

#: Row of a CSV file: column -> value.
Row = dict[str, Cell]


@dataclass(frozen=True)
class Table:
    """Table of formatted cells.

    Attributes:
        title: What the table shows, with units and number of samples.
        headings: Names of the columns.
        rows: Cells of each row; missing cells at the end of a row are empty.
        left: Headings of the columns that are aligned left; the others hold numbers and are aligned right.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[str] = frozenset({"group"})

    def markdown(self) -> str:
        """Return the table as Markdown, without its title; columns are padded so that the text is readable too."""
        lines = [self._filled([cell.replace("|", "\\|") for cell in row]) for row in (self.headings, *self.rows)]
        widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
        rule = [
            "-" * (width + 2) if heading in self.left else "-" * (width + 1) + ":"
            for heading, width in zip(self.headings, widths, strict=True)
        ]
        texts = [
            " | ".join(
                cell.ljust(width) if heading in self.left else cell.rjust(width)
                for heading, cell, width in zip(self.headings, line, widths, strict=True)
            )
            for line in lines
        ]
        heading, *rows = [f"| {text} |" for text in texts]
        return "\n".join([heading, f"|{'|'.join(rule)}|", *rows])

    def rich(self) -> rich.table.Table:
        """Return the table for a terminal."""
        table = rich.table.Table(
            title=Text(self.title), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True
        )
        for heading in self.headings:
            table.add_column(Text(heading), justify="left" if heading in self.left else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in self._filled(row)))
        return table

    def _filled(self, row: Sequence[str]) -> list[str]:
        return [*row, *[""] * (len(self.headings) - len(row))]


def csv_text(rows: Sequence[Row]) -> str:
    """Return rows as CSV with the columns of all rows in the order of first appearance; missing cells are empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _csv_cell(value) for column, value in row.items()} for row in rows)
    return text.getvalue()


def _csv_cell(value: Cell) -> Cell:
    """Return a number with eight significant digits, the precision of a float32; None where it is NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else f"{value:.8g}"
    return value
