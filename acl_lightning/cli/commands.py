"""Commands that are not the Trainer's: a table of names, so that `python -m acl_lightning NAME` finds them."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command of its own.

    Attributes:
        module: where its `main(arguments) -> int` is; imported when the command is called, not before.
        help: one line, for `--help`.
    """

    module: str
    help: str


#: Name -> command. `main` may raise `UserError`: the command line prints it in one line and exits with code 2.
COMMANDS: dict[str, Command] = {
    "curves": Command("acl_lightning.cli.curves", "several runs' quality-speed curves in one figure"),
    "export": Command("acl_lightning.cli.export", "write a run as a transformers model, and as ONNX"),
    "latency": Command("acl_lightning.cli.latency", "time a run's operating points against the plain model"),
    "points": Command("acl_lightning.cli.points", "choose further operating points of a run, without the model"),
    "demo": Command("acl_lightning.cli.demo", "a local page that shows where a sentence leaves"),
}


def find(arguments: Sequence[str]) -> Command | None:
    """The command that the first argument names; None where it is the Trainer's, or none at all."""
    return COMMANDS.get(arguments[0]) if arguments else None


def run(command: Command, arguments: Sequence[str]) -> int:
    """Call a command with the arguments after its name; returns its exit code."""
    return int(importlib.import_module(command.module).main(list(arguments)))


def unknown(arguments: Sequence[str], trainer_commands: Sequence[str]) -> str | None:
    """Return what is wrong with the name of the command; None where the arguments begin with a known one.

    Args:
        arguments: as in `sys.argv[1:]`.
        trainer_commands: names of the Trainer's commands.
    """
    names = [*trainer_commands, *COMMANDS]
    if arguments and (arguments[0] in names or arguments[0].startswith("-")):
        return None
    known = f"expected a command ({', '.join(names)})"
    if not arguments:
        return f"{known}; found none. Write `fit --help`, for example."
    close = difflib.get_close_matches(arguments[0], names, n=1)
    remedy = f"Did you mean {close[0]}?" if close else "Write `--help` for what they do."
    return f"{known}; found {arguments[0]}. {remedy}"


def overview() -> str:
    """Names and one-line explanations, for `--help`."""
    return "Further commands: " + "; ".join(f"{name}: {one.help}" for name, one in COMMANDS.items()) + "."
