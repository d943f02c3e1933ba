"""Report: the tables, figures and notes of a study, written to files and shown in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.text import Text

from acl_lightning.files import save_figure, write_text_atomically
from acl_lightning.studies.provenance import provenance
from acl_lightning.studies.reading import Run, UnfinishedRun
from acl_lightning.studies.tables import Row, Table, csv_text

#: Columns of the printed tables where the output is not a terminal but a file.
WIDTH = 140

#: Resolution of the figures: sharp on a page and well under 150 kB, since results are committed.
DPI = 110


@dataclass(frozen=True)
class Report:
    """Everything that a study of several runs gives.

    Attributes:
        runs: Runs that the numbers are about.
        unfinished: Runs without usable results.
        tables: Tables of the summary.
        notes: Sentences below the tables, without a full list of `unfinished`, which is added.
        csv_files: File name -> rows.
        figures: File name -> figure.
        summary: Name of the Markdown file with tables and notes.
        dpi: Resolution of the figures.
    """

    runs: Sequence[Run]
    unfinished: Sequence[UnfinishedRun]
    tables: Sequence[Table]
    notes: Sequence[str]
    csv_files: Mapping[str, Sequence[Row]]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    summary: str = "summary.md"
    dpi: int = DPI

    def all_notes(self) -> list[str]:
        """Return the notes and a sentence per unfinished run."""
        return [*self.notes, *(f"No result from {run.name} ({run.status}): {run.reason}." for run in self.unfinished)]

    def markdown(self) -> str:
        """Return tables and notes as Markdown."""
        parts = [text for table in self.tables for text in (f"{table.title}:", table.markdown())]
        parts.append("\n".join(f"- {note}" for note in self.all_notes()))
        return "\n\n".join(part for part in parts if part) + "\n"

    def write(self, out: Path, command: Sequence[str]) -> None:
        """Write CSV files, figures, the summary and `provenance.json`. Files of an earlier call are replaced.

        Args:
            out: Directory to write to.
            command: Command line of the study, for the provenance.

        Raises:
            UserError: The file system refuses a write.
        """
        origin = json.dumps(provenance(command, self.runs, self.unfinished), indent=2, ensure_ascii=False)
        for name, rows in self.csv_files.items():
            write_text_atomically(out / name, csv_text(rows))
        for name, figure in self.figures.items():
            save_figure(figure, out / name, dpi=self.dpi)
        write_text_atomically(out / self.summary, self.markdown())
        write_text_atomically(out / "provenance.json", origin + "\n")

    def show(self, console: Console | None = None) -> None:
        """Print tables and notes.

        Args:
            console: Where to print. None: the terminal, or `WIDTH` columns where the output is not a terminal.
        """
        console = console or Console()
        if not console.is_terminal:
            console.width = WIDTH
        for table in self.tables:
            console.print(table.rich(), "")
        for note in self.all_notes():
            console.print(Text(f"- {note}"))
