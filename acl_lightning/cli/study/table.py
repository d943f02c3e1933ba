"""`python -m acl_lightning study table SWEEP`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.cli.study.arguments import sweep_parser

if TYPE_CHECKING:
    from acl_lightning.studies.comparison import TrialComparison


def main(arguments: Sequence[str]) -> int:
    """Write and print the tables of a study. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: The sweep, `table.yaml` or an option is wrong, or no trial is finished.
    """
    parser = sweep_parser(
        "table",
        "Compare the methods of a study, as Markdown, LaTeX and CSV: mean and standard deviation over seeds, and "
        "paired tests over seeds and samples. What is compared is written in table.yaml.",
        "experiments/few_shot_table/sweep.yaml",
    )
    add_output_options(parser)
    options = parser.parse_args(list(arguments))
    comparison, out = compared(options)
    comparison.write(out, ["python", "-m", "acl_lightning", "study", "table", *arguments])
    comparison.show()
    print(f"Files: {out}")  # noqa: T201
    return 0


def add_output_options(parser: Parser) -> None:
    """Add `--table` and `--out`."""
    output = parser.add_argument_group("output")
    output.add_argument("--table", type=path, metavar="FILE", help="tables to make (default: table.yaml beside SWEEP)")
    output.add_argument("--out", type=path, metavar="DIR", help="directory to write to (default: results beside SWEEP)")


def compared(options: argparse.Namespace) -> tuple[TrialComparison, Path]:
    """Return the tables of a study and the directory to write to.

    Args:
        options: Parsed arguments of `sweep_parser` and `add_output_options`.

    Raises:
        UserError: The sweep, `table.yaml` or an option is wrong, or no trial is finished.
    """
    from acl_lightning.studies.comparison import TableSpecification, compare_trials
    from acl_lightning.studies.trials.listing import existing_trials
    from acl_lightning.studies.trials.sweep import Sweep
    from acl_lightning.studies.trials.values import parse_overrides

    folder = options.sweep.parent
    sweep = Sweep.read(options.sweep).overridden(parse_overrides(options.set))
    specification = TableSpecification.read(options.table or folder / "table.yaml")
    trials = existing_trials(sweep, options.trials, options.runs)
    return compare_trials(sweep.name, specification, trials), options.out or folder / "results"
