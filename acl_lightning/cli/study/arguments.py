"""Arguments that the commands `study ...` have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError

if TYPE_CHECKING:
    from acl_lightning.studies.trials import Sweep

#: Directory of the run directories of all trials.
TRIALS = Path("runs/trials")

#: Directory in which `fit` creates run directories, also under W&B's agents.
RUNS = Path("runs")


def at_least(smallest: int) -> Callable[[str], int]:
    """Return the type of an option that is an integer with a lower bound.

    >>> at_least(1)("2")
    2
    """

    def integer(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f"expected an integer of at least {smallest}; found {text}")
        return int(text)

    return integer


def sweep_parser(name: str, description: str, example: str) -> Parser:
    """Return a parser with SWEEP, `--set` and `--trials`.

    Args:
        name: Name of the command in the group.
        description: What the command does.
        example: Arguments of an example call after the name of the command.
    """
    parser = Parser(prog=f"acl_lightning study {name}", description=description, example=f"study {name} {example}")
    study = parser.add_argument_group("study")
    study.add_argument("sweep", type=path, metavar="SWEEP", help="sweep file, such as experiments/NAME/sweep.yaml")
    study.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=V1,V2",
        help="values of a parameter, instead of those in the file (repeatable): --set data.task=rte,cola",
    )
    study.add_argument(
        "--trials", type=path, default=TRIALS, metavar="DIR", help="directory of the trials of all studies"
    )
    study.add_argument(
        "--runs", type=path, default=RUNS, metavar="DIR", help="directory of runs that W&B agents made, used as trials"
    )
    return parser


def check_count(sweep: Sweep, count: int | None) -> None:
    """Refuse a number of trials for a grid, which has its own, and a search without one.

    Args:
        sweep: The sweep.
        count: Value of `--count`.

    Raises:
        UserError: See above.
    """
    if sweep.method == "grid" and count is not None:
        raise UserError("no --count for the method grid", "--count", "Omit it, or set method to random.")
    if sweep.method != "grid" and count is None:
        place = f"--count for the method {sweep.method} in {sweep.path}"
        raise UserError(place, "no --count", "Set for example --count 20.")
