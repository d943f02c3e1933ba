"""`python -m acl_lightning study run SWEEP`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from acl_lightning.cli.study.arguments import sweep_parser


def main(arguments: Sequence[str]) -> int:
    """Run the trials of a sweep on this machine. Returns 0 if all have finished, 1 if some failed.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: The sweep or an option is wrong, or the disk is full.
    """
    parser = sweep_parser(
        "run",
        "Run the trials of a sweep on this machine. Finished trials are not repeated and interrupted ones continue: "
        "after an interruption, repeat the command.",
        "experiments/few_shot_table/sweep.yaml --workers 2",
    )
    places = parser.add_argument_group("places")
    places.add_argument("--workers", type=int, metavar="N", help="trials at a time (default: 1, or all places on GPUs)")
    places.add_argument("--devices", metavar="0,1", help="CUDA devices to use (default: trials see all devices)")
    places.add_argument("--per-device", type=int, default=1, metavar="N", help="trials at a time on each device")
    repetition = parser.add_argument_group("failures")
    repetition.add_argument("--retries", type=int, default=1, metavar="N", help="further attempts after a failure")
    repetition.add_argument(
        "--rerun-stale", action="store_true", help="repeat trials whose result is of another version of this package"
    )
    options = parser.parse_args(list(arguments))

    from acl_lightning.studies.trials.queue import GridQueue
    from acl_lightning.studies.trials.runner import Runner, Slots
    from acl_lightning.studies.trials.sweep import Sweep
    from acl_lightning.studies.trials.values import parse_overrides

    sweep = Sweep.read(options.sweep)
    trials = sweep.trials(options.trials, parse_overrides(options.set))
    devices = options.devices.split(",") if options.devices else None
    workers = options.workers or (len(devices) * options.per_device if devices else 1)
    slots = Slots(workers, devices, None if devices else 1)
    if (warning := slots.warning()) is not None:
        print(f"warning: {warning}", file=sys.stderr)  # noqa: T201
    runner = Runner(GridQueue(trials), slots, options.retries, options.rerun_stale)
    try:
        failures = runner.run()
    except (KeyboardInterrupt, SystemExit):
        print(f"stopped: {runner.counts.text(workers)}. To continue, repeat the command.", file=sys.stderr)  # noqa: T201
        raise
    print(f"Study {sweep.name}: {runner.counts.text(workers)}")  # noqa: T201
    for label in runner.stale_trials:
        print(f"not run: trial {label} has a result of another version; add --rerun-stale to repeat it")  # noqa: T201
    return 1 if failures else 0
