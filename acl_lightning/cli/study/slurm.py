"""`python -m acl_lightning study slurm SWEEP --out FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from acl_lightning.cli.arguments import path
from acl_lightning.cli.study.arguments import at_least, check_count, sweep_parser
from acl_lightning.errors import UserError

if TYPE_CHECKING:
    from acl_lightning.studies.trials import Sweep, Trial


def main(arguments: Sequence[str]) -> int:
    """Write an array script for SLURM. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: The sweep or an option is wrong, the method is bayes, or the script cannot be written.
    """
    parser = sweep_parser(
        "slurm",
        "Write an array script for SLURM with a task for every trial of a grid, or of a random search, whose samples "
        "are drawn now. The directory of the trials must be on a file system that all nodes share.",
        "experiments/few_shot_table/sweep.yaml --out few_shot.sh",
    )
    output = parser.add_argument_group("script")
    output.add_argument("--out", required=True, type=path, metavar="FILE", help="script to write")
    output.add_argument("--limit", type=at_least(1), metavar="N", help="largest number of tasks at a time")
    output.add_argument("--count", type=at_least(1), metavar="N", help="number of trials of a random study")
    options = parser.parse_args(list(arguments))

    from acl_lightning.files import write_text_atomically
    from acl_lightning.studies.trials.slurm import array_script
    from acl_lightning.studies.trials.sweep import Sweep
    from acl_lightning.studies.trials.values import parse_overrides

    sweep = Sweep.read(options.sweep).overridden(parse_overrides(options.set))
    if sweep.method == "bayes":
        remedy = "Run W&B agents as the tasks of a job, or `study run` with --workers in a job on one node."
        raise UserError(f"the method grid or random in {sweep.path}", sweep.method, remedy)
    check_count(sweep, options.count)
    trials = _checked_trials(sweep, options)
    options.trials.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "acl_lightning", "study", "run", str(options.sweep)]
    command += [argument for text in options.set for argument in ("--set", text)] + ["--trials", str(options.trials)]
    command += ["--runs", str(options.runs)]
    script = array_script(sweep.name, len(trials), command, options.out, options.trials, options.limit)
    write_text_atomically(options.out, script)
    print(f"{len(trials)} trials. Add the partition and the time limit to {options.out}, then: sbatch {options.out}")  # noqa: T201
    return 0


def _checked_trials(sweep: Sweep, options: argparse.Namespace) -> Sequence[Trial]:
    """Return the trials of a grid, or those of a random search, which are drawn if they do not exist."""
    from acl_lightning.studies.trials.checking import check_metric, check_settings

    if sweep.method == "grid":
        trials = sweep.trials(options.trials)
        check_metric(sweep, trials)
        check_settings(sweep, trials)
        return trials
    from acl_lightning.studies.trials.search import SearchQueue

    check_metric(sweep, [])
    queue = SearchQueue(sweep, options.trials, options.count)
    if not queue.started:
        check_settings(sweep, queue.samples())
    return queue.draw()
