"""Study of the trials of a sweep: all tables with captions and notes, and the files that hold them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from acl_lightning.errors import UserError
from acl_lightning.files import write_text_atomically
from acl_lightning.runs.provenance import git_state
from acl_lightning.studies.comparison.caption import caption, notes, protocol
from acl_lightning.studies.comparison.cells import Cell, build_cells
from acl_lightning.studies.comparison.columns import with_condition
from acl_lightning.studies.comparison.formats import comparison_rows, latex, table_rows, text_tables
from acl_lightning.studies.comparison.measures import known_measure, selection_value
from acl_lightning.studies.comparison.specification import TableSpecification
from acl_lightning.studies.comparison.tables import MethodTable, method_tables
from acl_lightning.studies.comparison.trial_results import AnyTrial, MissingTrial, StudyTrial, TrialResult, read_trials
from acl_lightning.studies.comparison.values import StudyValues, expanded, measure_cells
from acl_lightning.studies.curves.stored_curves import check_criterion
from acl_lightning.studies.provenance import provenance
from acl_lightning.studies.reading import UnfinishedRun
from acl_lightning.studies.report import WIDTH
from acl_lightning.studies.tables import Row, Table, csv_text


@dataclass(frozen=True)
class TrialComparison:
    """Tables of a study and the trials behind them.

    Attributes:
        name: Name of the study.
        specification: Content of `table.yaml`.
        trials: All trials, with and without a result.
        values: Measures of all cells.
        tables: The tables.
    """

    name: str
    specification: TableSpecification
    trials: tuple[AnyTrial, ...]
    values: StudyValues
    tables: tuple[MethodTable, ...]

    def caption(self, table: MethodTable) -> str:
        """Return the caption of a table, see `acl_lightning.studies.comparison.caption`."""
        return caption(self.specification, table, self.values)

    def protocol(self) -> list[str]:
        """Return what holds for all tables, a sentence each."""
        return protocol(self.specification, self.values)

    def notes(self) -> list[str]:
        """Return what limits the tables, a sentence each."""
        return notes(self.trials, self.values, self.tables)

    def texts(self, table: MethodTable) -> list[tuple[Table, str]]:
        """Return a table as text with its caption; that of the differences apart where there are several columns."""
        method, *differences = text_tables(table, self.specification.baseline, self.specification.level)
        return [(method, self.caption(table)), *((text, f"{text.title}.") for text in differences)]

    def markdown(self) -> str:
        """Return all tables with captions, protocol, selected settings and notes as Markdown."""
        parts = [f"# {self.name}"]
        for table in self.tables:
            parts.append(f"## {table.title}")
            parts += [part for text, caption in self.texts(table) for part in (text.markdown(), caption)]
        sections = {"Protocol": self.protocol(), "Selected settings": self.settings(), "Notes": self.notes()}
        for heading, sentences in sections.items():
            if sentences:
                parts += [f"## {heading}", "\n".join(f"- {text}" for text in sentences)]
        return "\n\n".join(parts) + "\n"

    def settings(self) -> list[str]:
        """Return `METHOD, COLUMN: SETTING` for every cell in which a setting was selected."""
        return [
            f"{', '.join(filter(None, (cell.row.label, cell.column.heading)))}: {setting.parameters}"
            for cell in self.values.cells
            if (setting := cell.selected) is not None and setting.parameters
        ]

    def trial_rows(self) -> list[Row]:
        """Return a row of `trials.csv` per trial and measure; a row per trial without a result.

        Report values are those of the selected settings only; the others have values on the selection split.
        """
        rows: list[Row] = []
        for cell in self.values.cells:
            for setting in cell.settings:
                for trial in setting.trials:
                    first = _first_cells(cell, trial)
                    if isinstance(trial, MissingTrial):
                        rows.append(first | {"reason": trial.reason})
                    elif setting is cell.selected:
                        measured = self.values.measured[trial.key].items()
                        rows += [first | _value_cells(name, item.selection, item.report) for name, item in measured]
                    else:
                        rows += [first | row for row in self._selection_rows(trial)]
        return rows

    def _selection_rows(self, trial: TrialResult) -> list[Row]:
        names = [name for name in expanded(list(self.specification.measures), [trial]) if known_measure(name)]
        if self.specification.tune is not None:
            names = list(dict.fromkeys([self.specification.tune.by, *names]))
        return [
            _value_cells(name, value) for name in names if (value := selection_value(trial.curve, name)) is not None
        ]

    def write(self, out: Path, command: Sequence[str]) -> None:
        """Write `table.md`, `table.tex`, `table.csv`, `comparisons.csv`, `trials.csv` and `provenance.json`.

        Args:
            out: Directory to write to; files of an earlier call are replaced.
            command: Command line of the study, for the provenance.

        Raises:
            UserError: The file system refuses a write.
        """
        level, baseline = self.specification.level, self.specification.baseline
        tex = [
            latex(text, text_caption, f"tab:{self.name}-{number}{'-differences' if part else ''}")
            for number, table in enumerate(self.tables, 1)
            for part, (text, text_caption) in enumerate(self.texts(table))
        ]
        write_text_atomically(out / "trials.csv", csv_text(self.trial_rows()))
        write_text_atomically(out / "comparisons.csv", csv_text(comparison_rows(self.tables, baseline, level)))
        write_text_atomically(out / "table.csv", csv_text(table_rows(self.tables)))
        write_text_atomically(out / "table.tex", "\n".join(tex))
        write_text_atomically(out / "table.md", self.markdown())
        origin = json.dumps(self.provenance(command), indent=2, ensure_ascii=False)
        write_text_atomically(out / "provenance.json", origin + "\n")

    def provenance(self, command: Sequence[str]) -> dict[str, object]:
        """Return the provenance of the tables: that of `acl_lightning.studies.provenance`, the commit, and the trials.

        Args:
            command: Command line of the study.
        """
        results = self.values.results()
        missing = [
            UnfinishedRun(trial.trial.id, trial.state, trial.reason)
            for trial in self.trials
            if isinstance(trial, MissingTrial)
        ]
        return {
            **provenance(command, [result.curve.run for result in results], missing),
            "commit": git_state(),
            "study": self.name,
            "trial_states": dict(Counter(trial.state for trial in self.trials)),
            "trials": list(dict.fromkeys(result.trial.id for result in results)),
        }

    def show(self, console: Console | None = None) -> None:
        """Print tables, captions and notes.

        Args:
            console: Where to print. None: the terminal, or `WIDTH` columns where the output is not a terminal.
        """
        console = console or Console()
        if not console.is_terminal:
            console.width = WIDTH
        for table in self.tables:
            for text, text_caption in self.texts(table):
                console.print(text.rich(), Text(f"\n{text_caption}\n"), sep="\n")
        for sentence in (*self.protocol(), *self.settings(), *self.notes()):
            console.print(Text(f"- {sentence}"))


def compare_trials(name: str, specification: TableSpecification, trials: Sequence[StudyTrial]) -> TrialComparison:
    """Read the trials of a study and make its tables.

    Args:
        name: Name of the study.
        specification: Content of `table.yaml`.
        trials: All trials of the sweep, finished or not; a trial that a search has drawn twice counts once.

    Raises:
        UserError: No trial of a row is finished, or a column, measure, criterion or parameter of `table.yaml` is
            unknown.
    """
    of_rows = (row.criterion for row in specification.rows)
    for criterion in dict.fromkeys([specification.criterion, *of_rows, *specification.curve_criteria]):
        if criterion is not None:
            check_criterion(criterion)
    trials = [with_condition(trial, specification.conditions) for trial in {item.id: item for item in trials}.values()]
    results, missing = read_trials(trials, specification.criterion)
    read: tuple[AnyTrial, ...] = (*results, *missing)
    order = {trial.id: number for number, trial in enumerate(trials)}
    read = tuple(sorted(read, key=lambda trial: order[trial.trial.id]))
    cells = build_cells(specification, read)
    if not any(cell.selected for cell in cells):
        raise UserError(
            "a finished trial in a row of table.yaml",
            f"{len(results)} that belong to no row",
            "Run the study: `study run SWEEP`.",
        )
    values = measure_cells(cells, list(specification.measures), specification.resamples)
    return TrialComparison(name, specification, read, values, tuple(method_tables(specification, values)))


def _first_cells(cell: Cell, trial: AnyTrial) -> Row:
    return {
        "trial": trial.trial.id,
        "state": trial.state,
        "method": cell.row.label,
        "column": cell.column.heading,
        "parameters": json.dumps(dict(trial.trial.parameters), sort_keys=True, default=str),
        "seed": str(trial.seed),
    }


def _value_cells(measure: str, selection: float | None, report: float | None = None) -> Row:
    """Return the cells of a measure; a trial of a setting that was not selected has no value on the report split."""
    selected = str(report is not None).lower()
    return {"selected": selected, "measure": measure, "report": report, "selection": selection}
