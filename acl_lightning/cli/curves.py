"""`python -m acl_lightning curves RUN [RUN ...] --out DIR`: several runs in one figure, from their stored logits.

Beside `collect`, which tabulates what runs wrote: here every curve is computed again, so any criterion may be asked
for, with bands, the oracle, and plain models cut to k layers as the baseline.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from acl_lightning.cli.arguments import add_names, study_parser
from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically, write_text_atomically
from acl_lightning.studies.collect import DPI, none_finished, plain_console, read_each_once
from acl_lightning.studies.comparison.contenders import compare
from acl_lightning.studies.comparison.report import comparison_figure, curve_rows, score_rows, summary
from acl_lightning.studies.comparison.stored_curve import default_criterion, named_criterion, read_curve
from acl_lightning.studies.names import given_names
from acl_lightning.studies.provenance import provenance
from acl_lightning.studies.run_record import Run, UnfinishedRun
from acl_lightning.studies.tables import csv_text

#: What is typed for a speed -> its name in full.
SPEEDS = {"layer": "layer_speedup", "flops": "flops_speedup"}


def curves(
    directories: Sequence[Path],
    out: Path,
    criterion: str | None,
    speed: str,
    names: Sequence[str] | None,
    command: Sequence[str],
    console: Console,
) -> None:
    """Read the runs, write `curves.png`, `curves.csv`, `scores.csv`, `summary.md` and `provenance.json` into `out`.

    Args:
        directories: run directories; those of single-exit models are the baseline.
        out: where to write; files of an earlier call are replaced.
        criterion: Name of the criterion whose curves are drawn; None: entropy, and for a regression patience.
        speed: `layer_speedup` or `flops_speedup`.
        names: of the groups of multi-exit runs, see `group_runs`.
        command: for the provenance.
        console: where to print the summary.

    Raises:
        UserError: no such run, one given twice, none finished, an unknown criterion, a finished run without stored
            logits, runs of different tasks, or not one name per group.
    """
    if criterion is not None:
        named_criterion(criterion)
    found = list(zip(directories, read_each_once(directories), strict=True))
    unfinished = [one for _, one in found if isinstance(one, UnfinishedRun)]
    finished = [(directory, one) for directory, one in found if isinstance(one, Run)]
    if not finished:
        raise none_finished(unfinished)
    tasks = dict.fromkeys(run.task for _, run in finished)
    if len(tasks) > 1:
        raise UserError("runs of one task in a comparison", ", ".join(tasks), "Compare each task in a call of its own.")
    if criterion is None:
        criterion = default_criterion(finished[0][0])
    stored = [read_curve(directory, run, criterion) for directory, run in finished]
    comparison = compare(stored, criterion, speed, names)
    text = summary(comparison, criterion)
    text += "".join(f"- No result from {one.name} ({one.status}): {one.reason}.\n" for one in unfinished)
    with replaced_atomically(out / "curves.png") as path:
        comparison_figure(comparison, criterion, speed).savefig(path, dpi=DPI)
    write_text_atomically(out / "curves.csv", csv_text(curve_rows(comparison)))
    write_text_atomically(out / "scores.csv", csv_text(score_rows(comparison)))
    write_text_atomically(out / "summary.md", text)
    origin = provenance(command, [one.run for one in stored], unfinished)
    write_text_atomically(out / "provenance.json", json.dumps(origin, indent=2, ensure_ascii=False) + "\n")
    console.print(Text(text))
    console.print(f"Files: {out}", highlight=False)


def main(arguments: Sequence[str]) -> int:
    """Run the command with the arguments after its name. Returns 0; a user's mistake is raised as `UserError`."""
    parser = study_parser("acl_lightning curves", "Quality-speed curves of runs in one figure.")
    parser.add_argument("--criterion", help="whose curves to draw (default: entropy; patience for a regression)")
    parser.add_argument("--speed", choices=SPEEDS, default="layer", help="which speed-up (default: %(default)s)")
    add_names(parser)
    options = parser.parse_args(list(arguments))
    runs, out, names = options.runs, options.out, given_names(options.names)
    command = ["python", "-m", "acl_lightning", "curves", *arguments]
    curves(runs, out, options.criterion, SPEEDS[options.speed], names, command, plain_console())
    return 0
