"""Command line: the Trainer's commands (`trainer`), and a file for every other command."""

from acl_lightning.cli.dispatch import main

__all__ = ["main"]
