"""Arguments of the commands that are not the Trainer's."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from acl_lightning.errors import UserError

#: Explains an option that every command has; it is taken out before a command sees its arguments.
TRUST_HELP = (
    "Every command also takes --trust PACKAGE.MODULE[.Class] (repeatable): code outside this package that a run may "
    "use, from an installed package or the working directory."
)


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"epilog": TRUST_HELP, **settings})

    def error(self, message: str) -> NoReturn:
        """Exit with code 2, with the nearest valid option after an unknown one."""
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        close = difflib.get_close_matches(unknown[1], self._option_string_actions, n=1) if unknown else []
        hint = f" Did you mean {close[0]}?" if close else ""
        self.exit(2, f"error: {message}; see --help.{hint}\n")


def path(text: str) -> Path:
    """A path as a shell would read it, also after `--out=`: `~` is the home directory."""
    return Path(text).expanduser()


def study_parser(module: str, description: str) -> Parser:
    """The parser of `python -m MODULE RUN [RUN ...] --out DIR`."""
    parser = Parser(prog=f"python -m {module}", description=description)
    parser.add_argument("runs", nargs="+", type=path, metavar="RUN", help="directory of a run")
    parser.add_argument("--out", required=True, type=path, metavar="DIR", help="where to write")
    return parser


def add_names(parser: Parser) -> None:
    """Add the option `--names` to the parser of a study that groups runs."""
    parser.add_argument(
        "--names",
        metavar="A,B,...",
        help="names of the groups, in order of appearance (default: their configuration files, or how they differ)",
    )


def exit_code(work: Callable[[], None]) -> int:
    """Do the work of a command. Returns 0, or 2 after one line about a user's mistake."""
    try:
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0
