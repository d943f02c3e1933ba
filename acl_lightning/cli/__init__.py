"""The command line: the Trainer's commands, and one file for every other command."""

from __future__ import annotations

from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run a command; see `acl_lightning.cli.trainer.main`."""
    from acl_lightning.cli.trainer import main as run  # noqa: PLC0415 - usage of a package must not import torch

    return run(args)
