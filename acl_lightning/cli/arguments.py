"""Parser and argument types of the commands that are not the Trainer's. Nothing here imports torch."""

from __future__ import annotations

import argparse
import difflib
import re
import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

#: Explains an option that every command has; it is removed before a command sees its arguments.
TRUST_HELP = (
    "Every command also accepts --trust PACKAGE.MODULE[.Class] (repeatable): code outside this package that a run may "
    "use, from an installed package or the working directory."
)

#: Columns of the explanations.
WIDTH = 100


class Parser(argparse.ArgumentParser):
    """Parser of a command that answers a mistake with one line.

    Args:
        description: What the command does.
        example: Arguments of an example call after `python -m acl_lightning`; shown at the end of the help.
        settings: Further arguments of `argparse.ArgumentParser`.
    """

    def __init__(self, *, description: str = "", example: str = "", **settings: Any) -> None:
        shown = f"example:\n  python -m acl_lightning {example}\n\n" if example else ""
        super().__init__(
            **{
                "description": textwrap.fill(description, WIDTH),
                "epilog": shown + textwrap.fill(TRUST_HELP, WIDTH),
                "formatter_class": HelpFormatter,
                **settings,
            }
        )

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 after one line, with the nearest valid option where an option is unknown."""
        unknown = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        close = difflib.get_close_matches(unknown[1], self._option_string_actions, n=1) if unknown else []
        hint = f" Did you mean {close[0]}?" if close else ""
        self.exit(2, f"error: {message}; see --help.{hint}\n")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help that keeps the lines of the description and ends the explanation of an option with its default."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **{"max_help_position": 28, "width": WIDTH, **settings})

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        if text is None or "(default" in text or not action.option_strings:
            return text
        silent = action.default in (None, argparse.SUPPRESS) or action.default is False or action.default == []
        return text if silent else f"{text} (default: %(default)s)"


def path(text: str) -> Path:
    """Return a path as a shell would read it, also after `--out=`: `~` is the home directory."""
    return Path(text).expanduser()


def unknown_name(name: str, names: Collection[str]) -> str:
    """Return the error message about an unknown name of a command.

    Args:
        name: The unknown name.
        names: Names of the commands.
    """
    close = difflib.get_close_matches(name, names, n=1)
    remedy = f"Did you mean {close[0]}?" if close else "Write --help for a list with explanations."
    return f"expected a command ({', '.join(names)}); found {name}. {remedy}"
