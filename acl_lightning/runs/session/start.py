"""The checkpoint that a command starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acl_lightning.runs.checkpoints import is_requeued, run_of, shared_checkpoint
from acl_lightning.runs.names import RESULT
from acl_lightning.runs.records.result import run_status
from acl_lightning.runs.session.resumed_settings import changed_settings


class AlreadyFinished(Exception):
    """The run that a command would continue has finished with the same configuration."""

    def __init__(self, run: Path) -> None:
        super().__init__(f"{run} is finished, with the same configuration: nothing to do. See {run / RESULT}.")


def starting_checkpoint(
    requested: str | None, run_directory: str | None, command: str, settings: Mapping[str, Any]
) -> str | None:
    """Return the checkpoint file to start from; None to start anew. A requeued SLURM job continues.

    Args:
        requested: Value of `--ckpt_path`.
        run_directory: Value of `--run_dir`.
        command: Name of the command. Only `fit` resumes; its settings are then compared with those of the earlier run.
        settings: Resolved configuration of the command.

    Raises:
        AlreadyFinished: `--ckpt_path=auto`, and the run has finished.
        UserError: There is no such checkpoint, or settings differ that a resumed run cannot change.
    """
    if command == "fit" and requested is None and is_requeued(run_directory):
        requested = "auto"
    path = shared_checkpoint(requested, run_directory, command)
    if command != "fit":
        return path
    directory = Path(run_directory or "").expanduser()
    finished = requested == "auto" and run_status(directory) == "finished"
    if path is not None or finished:
        run = run_of(path) if path is not None else directory
        changed = changed_settings(run, settings)
        if finished and not changed:
            raise AlreadyFinished(directory)
    return path
