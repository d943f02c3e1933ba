"""`python -m acl_lightning study status SWEEP`."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.cli.study.arguments import sweep_parser


def main(arguments: Sequence[str]) -> int:
    """Show the state of the trials of a sweep. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: The sweep or an option is wrong.
    """
    parser = sweep_parser(
        "status",
        "Show how many trials of a sweep are finished, failed, running or waiting, and why trials failed. Of a random "
        "or bayes study, the trials that exist count.",
        "experiments/few_shot_table/sweep.yaml",
    )
    options = parser.parse_args(list(arguments))

    from acl_lightning.studies.trials.listing import existing_trials
    from acl_lightning.studies.trials.status import StudyStatus
    from acl_lightning.studies.trials.sweep import Sweep
    from acl_lightning.studies.trials.values import parse_overrides

    sweep = Sweep.read(options.sweep).overridden(parse_overrides(options.set))
    StudyStatus.of(sweep.name, existing_trials(sweep, options.trials, options.runs)).show()
    return 0
