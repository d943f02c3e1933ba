"""`python -m acl_lightning.studies.collect RUN [RUN ...] --out DIR`: finished runs to tables, curves and provenance."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from acl_lightning.cli.arguments import add_names, exit_code, study_parser
from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.studies.curves import curves_figure
from acl_lightning.studies.grouping import comparisons, group_runs
from acl_lightning.studies.names import given_names
from acl_lightning.studies.provenance import provenance
from acl_lightning.studies.report import markdown, show
from acl_lightning.studies.run_record import Run, UnfinishedRun, read_run
from acl_lightning.studies.tables import csv_text, run_rows, summary_rows

MODULE = "acl_lightning.studies.collect"

#: Columns of the printed tables where no terminal limits them: a log file.
WIDTH = 140

#: Sharp on a page, and well under 150 kB: results are committed.
DPI = 110


def collect(
    directories: Sequence[Path],
    out: Path,
    criterion: str,
    names: Sequence[str] | None,
    command: Sequence[str],
    console: Console,
) -> None:
    """Read the runs, write everything into `out` (files of an earlier collection are replaced), print the summary.

    Writes `runs.csv`, `summary.csv`, `summary.md`, `curves_TASK_ROWS.png` and `provenance.json`. Runs that failed or
    have no result are named in `runs.csv`, `summary.md`, `provenance.json` and on the console.

    Args:
        directories: run directories.
        out: where to write.
        criterion: which criterion the curves show.
        names: of the groups, see `group_runs`.
        command: for the provenance.
        console: where to print.

    Raises:
        UserError: no such run, one given twice, none finished, a criterion that was not swept, or not one name
            per group.
    """
    read = read_each_once(directories)
    runs = [one for one in read if isinstance(one, Run)]
    unfinished = [one for one in read if isinstance(one, UnfinishedRun)]
    if not runs:
        raise none_finished(unfinished)
    groups = group_runs(runs, names)
    figures = {names: curves_figure(alike, criterion) for names, alike in comparisons(groups).items()}
    write_text_atomically(out / "runs.csv", csv_text(run_rows(groups, unfinished)))
    write_text_atomically(out / "summary.csv", csv_text(summary_rows(groups)))
    write_text_atomically(out / "summary.md", markdown(groups, unfinished))
    for (task, train_rows), figure in figures.items():
        with replaced_atomically(out / f"curves_{task}_{train_rows}.png") as path:
            figure.savefig(path, dpi=DPI)
    origin = json.dumps(provenance(command, runs, unfinished), indent=2, ensure_ascii=False)
    write_text_atomically(out / "provenance.json", origin + "\n")
    show(console, groups, unfinished)
    console.print(f"Files: {out}", highlight=False)


def read_each_once(directories: Sequence[Path]) -> list[Run | UnfinishedRun]:
    """Read run directories.

    Raises:
        UserError: no such run, or one given twice.
    """
    for directory in directories:
        if [one.resolve() for one in directories].count(directory.resolve()) > 1:
            raise UserError("every run once", f"{directory} more than once", "Twice the same run is no second seed.")
    return [read_run(directory) for directory in directories]


def none_finished(unfinished: Sequence[UnfinishedRun]) -> UserError:
    """What to say where no run has a result."""
    reasons = "; ".join(f"{one.name} ({one.status}: {one.reason})" for one in unfinished)
    return UserError("at least one finished run", reasons, "Wait for them, or see their logs.")


def plain_console() -> Console:
    """The terminal, or `WIDTH` columns where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, or 2 after one line about a user's mistake.

    Args:
        arguments: as in `sys.argv[1:]`, which is the default.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    parser = study_parser(MODULE, "Finished runs to tables, curves and their provenance.")
    parser.add_argument("--criterion", default="entropy", help="whose curves to draw (default: %(default)s)")
    add_names(parser)
    options = parser.parse_args(typed)
    command = ["python", "-m", MODULE, *typed]
    names = given_names(options.names)
    return exit_code(lambda: collect(options.runs, options.out, options.criterion, names, command, plain_console()))


if __name__ == "__main__":
    sys.exit(main())
