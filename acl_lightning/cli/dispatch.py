"""Entry point of the command line: find the command, run it, return its exit code.

It does not import torch itself. The commands of the Trainer do, and `fit --help_all`, through `cli/trainer.py`.
"""

from __future__ import annotations

import sys
import textwrap
import warnings
from collections.abc import Sequence

from acl_lightning.cli.arguments import TRUST_HELP, WIDTH
from acl_lightning.cli.commands import (
    COMMANDS,
    HELP_ALL,
    TRAINER_COMMANDS,
    overview,
    run,
    trainer_help,
    unknown,
)
from acl_lightning.cli.errors import mistake, print_own_warnings_plainly, refuse
from acl_lightning.runs.processes import is_first_process
from acl_lightning.runs.session import Session, advice

#: Warnings of libraries that do not concern a user of the command line.
SILENCED = (
    ".*does not have many workers.*",
    ".*treespec, LeafSpec.*",  # torch to Lightning
    ".*checkpoint directory .* exists and is not empty.*",
    ".*recommended to use `self.log.*sync_dist=True",  # torchmetrics synchronizes
    "LightningCLI's args parameter is intended",  # --trust is removed from the arguments
    "The dirpath has changed from",  # `validate` of a checkpoint of another run
    ".*monitor='val/selection'.* could not find the monitored key",  # `fit` warns in other words
)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code: 0, or 2 after one line about a mistake of the user.

    Other exceptions are defects of the program and keep their traceback.

    Args:
        args: Arguments without the program's name. Default: those of the process.
    """
    for message in SILENCED:
        warnings.filterwarnings("ignore", message=message)
    print_own_warnings_plainly()
    try:
        return _run(args)
    except Exception as error:
        explanation = mistake(error)
        if explanation is None:
            raise
        return refuse(explanation)
    finally:
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish()  # else the next run in this process would log into this one


def _run(args: Sequence[str] | None) -> int:
    """Run the command that the first argument names."""
    arguments = list(sys.argv[1:] if args is None else args)
    text = _help(arguments)
    if text is not None:
        print(text, end="")  # noqa: T201
        return 0
    if arguments[:1] and arguments[0] in TRAINER_COMMANDS and HELP_ALL in arguments:
        args = arguments = [arguments[0], "--help"]
    trusting = any(argument.partition("=")[0] == "--trust" for argument in arguments)
    if trusting:
        arguments = _trust(arguments)
    problem = unknown(arguments)
    if problem is not None:
        return refuse(problem)
    with Session() as session:
        try:
            command = COMMANDS.get(arguments[0])
            if command is not None:
                return run(command, arguments[1:])
            return _run_trainer(arguments if trusting else args, session)
        except (KeyboardInterrupt, SystemExit) as stop:
            code = session.termination.exit_code(stop)
            if code is None:
                raise
            if is_first_process():
                print(advice(code, session.command, session.run), file=sys.stderr)  # noqa: T201
            return code


def _help(arguments: list[str]) -> str | None:
    """Return the help that the arguments ask for; None for other arguments and for commands with their own parser."""
    if arguments[:1] in (["--help"], ["-h"]):
        return overview(textwrap.fill(TRUST_HELP, WIDTH))
    if arguments[:1] and arguments[0] in TRAINER_COMMANDS and {"--help", "-h"} & {*arguments}:
        return trainer_help(arguments[0])
    return None


def _trust(arguments: list[str]) -> list[str]:
    """Import what `--trust` names. Returns the other arguments."""
    from acl_lightning.runs.trust import split_trust, trust  # imports omegaconf and torch

    rest, names = split_trust(arguments)
    trust(names)
    return rest


def _run_trainer(args: Sequence[str] | None, session: Session) -> int:
    from acl_lightning.cli.trainer import run_trainer  # imports Lightning, torch and transformers

    print_own_warnings_plainly()  # Lightning has replaced the format
    return run_trainer(args, session)
