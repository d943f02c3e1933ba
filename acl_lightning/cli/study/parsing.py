"""Program that parses the settings of trials as `fit` does, in a separate process, since it imports Lightning.

Reads lists of arguments in JSON from stdin, and writes a line in JSON for each to stdout: the error message, or null.
It stops at the first error message, so that a mistake is reported soon.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator, Sequence

from acl_lightning.cli.errors import mistake
from acl_lightning.cli.trainer import CommandLine


class SettingsOnly(CommandLine):
    """Command line that parses and checks settings, and stops before anything is built or written."""

    def _set_seed(self) -> None:
        """Do nothing."""

    def before_instantiate_classes(self) -> None:
        """Refuse settings that only automatic optimization has."""
        self._refuse_automatic_settings(self.config[str(self.subcommand)].trainer)

    def instantiate_classes(self) -> None:
        """Do nothing."""

    def after_instantiate_classes(self) -> None:
        """Do nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing."""


def main() -> None:
    """Run the program."""
    requests, output = json.load(sys.stdin), sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        for message in messages(requests):
            print(json.dumps(message), file=output, flush=True)


def messages(requests: Sequence[Sequence[str]]) -> Iterator[str | None]:
    """Yield None for each list of arguments that `fit` accepts, up to the first error message.

    Args:
        requests: Lists of `fit` and its arguments.
    """
    for arguments in requests:
        message = error_message(arguments)
        yield message
        if message is not None:
            return


def error_message(arguments: Sequence[str]) -> str | None:
    """Return the error message with which `fit` refuses its arguments; None where it accepts them.

    Nothing is built and no file is written.

    Args:
        arguments: `fit` and its arguments.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            SettingsOnly(arguments)
    except SystemExit:
        lines = errors.getvalue().strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else "no message"
    except Exception as error:
        message = mistake(error)
        if message is None:
            raise
        return message
    return None


if __name__ == "__main__":
    main()
