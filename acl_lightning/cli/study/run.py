"""`python -m acl_lightning study run SWEEP`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from acl_lightning.cli.arguments import Parser
from acl_lightning.cli.study.arguments import at_least, check_count, sweep_parser
from acl_lightning.errors import UserError

if TYPE_CHECKING:
    from acl_lightning.studies.trials.queue import TrialQueue
    from acl_lightning.studies.trials.runner import Slots
    from acl_lightning.studies.trials.sweep import Sweep
    from acl_lightning.studies.trials.trial import Trial


def main(arguments: Sequence[str]) -> int:
    """Run the trials of a sweep on this machine.

    Returns 0 if all have finished, 1 if some failed or are stale, 130 after Ctrl-C and 143 after SIGTERM.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: The sweep or an option is wrong, or the disk is full.
    """
    options = _parser().parse_args(list(arguments))

    from acl_lightning.runs.session.interruption import INTERRUPTED, TERMINATED
    from acl_lightning.studies.trials.runner import Runner
    from acl_lightning.studies.trials.sweep import Sweep
    from acl_lightning.studies.trials.values import parse_overrides

    slots = _slots(options)
    sweep = Sweep.read(options.sweep).overridden(parse_overrides(options.set))
    queue = _queue(sweep, options)
    if (warning := slots.warning()) is not None:
        print(f"warning: {warning}", file=sys.stderr)  # noqa: T201
    runner = Runner(queue, slots, options.retries, options.rerun_stale, options.discard_checkpoints)
    try:
        failures = runner.run()
    except (KeyboardInterrupt, SystemExit) as stop:
        print(f"stopped: {runner.counts.text(slots.workers)}. To continue, repeat the command.", file=sys.stderr)  # noqa: T201
        return INTERRUPTED if isinstance(stop, KeyboardInterrupt) else TERMINATED
    print(f"Study {sweep.name}: {runner.counts.text(slots.workers)}")  # noqa: T201
    for label in runner.stale_trials:
        print(f"not run: trial {label} has a result of another version; add --rerun-stale to repeat it")  # noqa: T201
    return 1 if failures or runner.stale_trials else 0


def _parser() -> Parser:
    parser = sweep_parser(
        "run",
        "Run the trials of a sweep on this machine. Finished trials are not repeated and interrupted ones continue: "
        "after an interruption, repeat the command.",
        "experiments/few_shot_table/sweep.yaml --workers 2",
    )
    trials = parser.add_argument_group("trials")
    trials.add_argument("--count", type=at_least(1), metavar="N", help="number of trials of a random or bayes study")
    trials.add_argument("--index", type=at_least(0), metavar="N", help="run this trial only, counted from 0")
    trials.add_argument(
        "--discard-checkpoints",
        action="store_true",
        help="remove the checkpoints of a trial when it has finished; results, logits and figures stay",
    )
    places = parser.add_argument_group("places")
    places.add_argument(
        "--workers", type=at_least(1), metavar="N", help="trials at a time (default: 1, or all places on the devices)"
    )
    places.add_argument("--devices", metavar="0,1", help="CUDA devices to use (default: trials see all devices)")
    places.add_argument(
        "--per-device", type=at_least(1), metavar="N", help="trials at a time on each of the devices (default: 1)"
    )
    failures = parser.add_argument_group("failures")
    failures.add_argument(
        "--retries", type=at_least(0), default=1, metavar="N", help="further attempts after a failure"
    )
    failures.add_argument(
        "--rerun-stale", action="store_true", help="repeat trials whose result is of another version of this package"
    )
    return parser


def _slots(options: argparse.Namespace) -> Slots:
    """Return the places in which trials run.

    Raises:
        UserError: `--per-device` without `--devices`, or together with `--workers`.
    """
    from acl_lightning.studies.trials.runner import Slots

    devices = options.devices.split(",") if options.devices else None
    if options.per_device and (options.workers or not devices):
        place = "--per-device with --devices, and without --workers"
        raise UserError(place, f"--per-device {options.per_device}", "Set for example --devices 0,1 --per-device 2.")
    workers = options.workers or (len(devices) * (options.per_device or 1) if devices else 1)
    return Slots(workers, devices, None if devices else 1)


def _queue(sweep: Sweep, options: argparse.Namespace) -> TrialQueue:
    """Return the trials to run, after the checks of a sweep."""
    from acl_lightning.studies.trials.checking import check_metric, check_settings
    from acl_lightning.studies.trials.queue import GridQueue

    if options.index is not None:
        trials = [_trial_of_index(sweep, options)]
        check_settings(sweep, trials)
        return GridQueue(trials)
    check_count(sweep, options.count)
    if sweep.method == "grid":
        grid = sweep.trials(options.trials, runs=options.runs)
        check_metric(sweep, grid)
        check_settings(sweep, grid)
        return GridQueue(grid)
    from acl_lightning.studies.trials.search import SearchQueue

    check_metric(sweep, [])
    queue = SearchQueue(sweep, options.trials, options.count)
    if not queue.started:
        check_settings(sweep, queue.samples())
    return queue


def _trial_of_index(sweep: Sweep, options: argparse.Namespace) -> Trial:
    """Return the trial of `--index`: of a grid, or of a random search whose samples `study slurm` has drawn."""
    from acl_lightning.studies.trials.checking import check_metric
    from acl_lightning.studies.trials.listing import existing_trials

    if sweep.method == "bayes":
        place = f"no --index for the method bayes in {sweep.path}, whose samples depend on results"
        raise UserError(place, f"--index {options.index}", "Omit --index and set --count.")
    if options.count is not None:
        raise UserError("--count or --index", "both", "Omit --count: the trial of --index exists.")
    trials: Sequence[Trial] = existing_trials(sweep, options.trials, options.runs)
    if not trials:
        remedy = "Draw the samples with: study slurm SWEEP --count N --out FILE."
        raise UserError(f"samples of {sweep.path} for --index", "none", remedy)
    check_metric(sweep, trials)
    if options.index >= len(trials):
        last = len(trials) - 1
        raise UserError(f"--index from 0 to {last} in {sweep.path}", str(options.index), f"Set --index {last}.")
    index: int = options.index
    return trials[index]
