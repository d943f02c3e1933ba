"""Arguments of the commands that are not the Trainer's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser that answers a mistake with one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        self.exit(2, f"error: {message}; see --help.\n")


def path(text: str) -> Path:
    """A path as a shell would read it, also after `--out=`: `~` is the home directory."""
    return Path(text).expanduser()
