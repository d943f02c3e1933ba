"""`python -m acl_lightning study run|status|...`."""

from __future__ import annotations

from collections.abc import Sequence

from acl_lightning.cli.arguments import Parser
from acl_lightning.cli.commands import STUDY_COMMANDS, run, unknown_name


def main(arguments: Sequence[str]) -> int:
    """Run a command of the group. Returns its exit code; 2 after a line about an unknown name.

    Args:
        arguments: Name of the command and its arguments.
    """
    parser = Parser(
        prog="acl_lightning study",
        description="Run the trials of a W&B sweep on this machine, and show what came out.",
        example="study run experiments/few_shot_table/sweep.yaml --workers 2",
    )
    group = parser.add_argument_group("commands")
    listed = "; ".join(f"{name}: {command.help}" for name, command in STUDY_COMMANDS.items())
    group.add_argument("command", metavar="COMMAND", help=listed)
    rest = parser.add_argument_group("arguments")
    rest.add_argument("arguments", nargs="*", metavar="...", help="arguments of the command: see COMMAND --help")
    if not arguments or arguments[0].startswith("-"):
        parser.parse_args(list(arguments))
    name = arguments[0]
    if name not in STUDY_COMMANDS:
        parser.error(unknown_name(name, STUDY_COMMANDS))
    return run(STUDY_COMMANDS[name], arguments[1:])
