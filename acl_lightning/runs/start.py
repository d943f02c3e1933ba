"""The checkpoint that a command starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acl_lightning.runs.directory import is_finished, is_requeued, shared_checkpoint
from acl_lightning.runs.resume import changed_settings, run_of


class AlreadyFinished(Exception):
    """The run that a command would continue has finished with the same configuration."""

    def __init__(self, run: Path) -> None:
        super().__init__(f"{run} is finished, with the same configuration: nothing to do. See {run / 'result.json'}.")


def starting_checkpoint(
    requested: str | None, run_directory: str | None, command: str, settings: Mapping[str, Any]
) -> str | None:
    """Return the checkpoint file to start from; None to start anew. A requeued SLURM job continues.

    Args:
        requested: `--ckpt_path`.
        run_directory: `--run_dir`.
        command: name of the command. Only `fit` resumes, and then needs the settings of the run that it resumes.
        settings: resolved configuration of the command.

    Raises:
        AlreadyFinished: `--ckpt_path=auto`, and there is nothing left to do.
        UserError: no such checkpoint, or settings that a resumed run cannot change.
    """
    if command == "fit" and requested is None and is_requeued(run_directory):
        requested = "auto"
    path = shared_checkpoint(requested, run_directory, command)
    if command != "fit":
        return path
    directory = Path(run_directory or "").expanduser()
    finished = requested == "auto" and is_finished(directory)
    if path is not None or finished:
        run = run_of(Path(path)) if path is not None else directory
        changed = changed_settings(run, settings)
        if finished and not changed:
            raise AlreadyFinished(directory)
    return path
