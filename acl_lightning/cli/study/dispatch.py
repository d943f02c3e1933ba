"""`python -m acl_lightning study COMMAND`: the name of the command, and the help of the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acl_lightning.cli.arguments import Parser, unknown_name


def main(arguments: Sequence[str], commands: Mapping[str, str]) -> str:
    """Return the name of a command of the group. Exits for the help of the group, and with code 2 for a mistake.

    Args:
        arguments: Name of the command and its arguments.
        commands: Name -> description of the commands.
    """
    parser = Parser(
        prog="acl_lightning study",
        description="Run the trials of a W&B sweep on this machine, and show the results.",
        example="study run experiments/few_shot_table/sweep.yaml --workers 2",
    )
    listed = "; ".join(f"{name}: {text}" for name, text in commands.items())
    group = parser.add_argument_group("commands")
    group.add_argument("command", metavar="COMMAND", help=listed)
    rest = parser.add_argument_group("arguments")
    rest.add_argument("arguments", nargs="*", metavar="...", help="arguments of the command: see COMMAND --help")
    if not arguments or arguments[0].startswith("-"):
        parser.parse_args(list(arguments))
    name = arguments[0]
    if name not in commands:
        parser.error(unknown_name(name, commands))
    return name
