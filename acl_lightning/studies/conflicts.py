"""`python -m acl_lightning.studies.conflicts RUN [RUN ...] --out DIR`: do the gradients conflict, and who notices?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from acl_lightning.cli.arguments import exit_code, study_parser
from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.studies.collect import none_finished, plain_console, read_each_once
from acl_lightning.studies.conflict_report import angles_figures, markdown
from acl_lightning.studies.conflict_tables import WatchedGroup, agreement_rows, angle_rows, layer_rows
from acl_lightning.studies.grouping import group_runs
from acl_lightning.studies.provenance import provenance
from acl_lightning.studies.run_record import Run, UnfinishedRun
from acl_lightning.studies.tables import csv_text
from acl_lightning.studies.watch_record import Watch, read_watch

MODULE = "acl_lightning.studies.conflicts"

#: Many thin lines compress badly; results are committed.
DPI = 80


def conflicts(directories: Sequence[Path], out: Path, command: Sequence[str], console: Console) -> None:
    """Read runs that `GradientProbe` watched, write what it saw into `out`, print the summary.

    Writes `angles.csv` (a row per group of runs and term), `agreement.csv` (and per scope), `per_layer.csv` (and per
    layer), `angles_TASK_ROWS.png`, `summary.md` and `provenance.json`; files of an earlier call are replaced. Runs that
    failed, have no result or were not watched are named in `summary.md`, `provenance.json` and on the console.

    Args:
        directories: run directories.
        out: where to write.
        command: for the provenance.
        console: where to print.

    Raises:
        UserError: no such run, one given twice, or none that finished and was watched.
    """
    watches: dict[int, Watch] = {}
    runs: list[Run] = []
    unfinished: list[UnfinishedRun] = []
    for directory, run in zip(directories, read_each_once(directories), strict=True):
        watch = read_watch(directory, run) if isinstance(run, Run) else run
        if isinstance(run, Run) and isinstance(watch, Watch):
            runs.append(run)
            watches[id(run)] = watch
        else:
            assert isinstance(watch, UnfinishedRun)
            unfinished.append(watch)
    if not runs:
        raise none_finished(unfinished)
    groups = [WatchedGroup(group, tuple(watches[id(run)] for run in group.runs)) for group in group_runs(runs)]
    summary, figures = markdown(groups, unfinished), angles_figures(groups)
    for name, rows in (
        ("angles", angle_rows(groups)),
        ("agreement", agreement_rows(groups)),
        ("per_layer", layer_rows(groups)),
    ):
        write_text_atomically(out / f"{name}.csv", csv_text(rows))
    for (task, train_rows), figure in figures.items():
        with replaced_atomically(out / f"angles_{task}_{train_rows}.png") as path:
            figure.savefig(path, dpi=DPI)
    write_text_atomically(out / "summary.md", summary)
    origin = json.dumps(provenance(command, runs, unfinished), indent=2, ensure_ascii=False)
    write_text_atomically(out / "provenance.json", origin + "\n")
    console.print(Text(summary))
    console.print(f"Files: {out}", highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, or 2 after one line about a user's mistake.

    Args:
        arguments: as in `sys.argv[1:]`, which is the default.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    parser = study_parser(MODULE, "Angles between gradients, from runs with GradientProbe.")
    options = parser.parse_args(typed)
    command = ["python", "-m", MODULE, *typed]
    return exit_code(lambda: conflicts(options.runs, options.out, command, plain_console()))


if __name__ == "__main__":
    sys.exit(main())
