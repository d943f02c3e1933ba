"""`python -m acl_lightning study slurm SWEEP --out FILE`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from acl_lightning.cli.arguments import path
from acl_lightning.cli.study.arguments import at_least, sweep_parser
from acl_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Write an array script for SLURM. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: The sweep is wrong or is not a grid, or the script cannot be written.
    """
    parser = sweep_parser(
        "slurm",
        "Write an array script for SLURM with a task for every trial of a grid. The directory of the trials must be on "
        "a file system that all nodes share.",
        "experiments/few_shot_table/sweep.yaml --out few_shot.sh",
    )
    output = parser.add_argument_group("script")
    output.add_argument("--out", required=True, type=path, metavar="FILE", help="script to write")
    output.add_argument("--limit", type=at_least(1), metavar="N", help="largest number of tasks at a time")
    options = parser.parse_args(list(arguments))

    from acl_lightning.files import write_text_atomically
    from acl_lightning.studies.trials.checking import check_metric, check_settings
    from acl_lightning.studies.trials.slurm import array_script
    from acl_lightning.studies.trials.sweep import Sweep
    from acl_lightning.studies.trials.values import parse_overrides

    sweep = Sweep.read(options.sweep).overridden(parse_overrides(options.set))
    if sweep.method != "grid":
        raise UserError(f"the method grid in {sweep.path}", sweep.method, "Run W&B agents as the tasks of a job.")
    trials = sweep.trials(options.trials)
    check_metric(sweep, trials)
    check_settings(sweep, trials)
    options.trials.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "acl_lightning", "study", "run", str(options.sweep)]
    command += [argument for text in options.set for argument in ("--set", text)] + ["--trials", str(options.trials)]
    script = array_script(sweep.name, len(trials), command, options.out, options.trials, options.limit)
    write_text_atomically(options.out, script)
    print(f"{len(trials)} trials. Add the partition and the time limit to {options.out}, then: sbatch {options.out}")  # noqa: T201
    return 0
