"""Choice and creation of a run directory."""

from __future__ import annotations

import hashlib
import os
import time
from itertools import count
from pathlib import Path

from acl_lightning.errors import UserError
from acl_lightning.runs.checkpoints import all_checkpoints
from acl_lightning.runs.names import CHECKPOINTS
from acl_lightning.runs.processes import ENVIRONMENT, is_child, is_first_process, is_started_with_others
from acl_lightning.runs.records.result import run_status


def config_hash(text: str) -> str:
    """Return the identity of a run: the first 10 hex digits of the SHA-256 of its resolved configuration.

    Args:
        text: The configuration without the settings that do not change the run: where it writes, and the checkpoint
            from which it resumes.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def choose_run_directory(requested: str | None, command: str, task: str, identity: str, checkpoint: str | None) -> Path:
    """Return the run directory, and create it.

    Without `--run_dir` it is a new directory `runs/[COMMAND-]TASK-TIME-IDENTITY`; a number is appended if another
    process has just created this one. The directory of `--run_dir` must not contain files that the command would
    overwrite:

    - for `fit`, checkpoints or a finished or damaged result, unless it resumes from a checkpoint in the directory. A
      run that failed before its first checkpoint may be repeated in the same directory;
    - for `validate`, a finished or damaged result, unless it validates a checkpoint in the directory: the result of the
      run is then measured again, for example with other budgets.

    Args:
        requested: Value of `--run_dir`.
        command: Name of the command.
        task: Name of the task, for the name of the directory.
        identity: Hash of the configuration, see `config_hash`.
        checkpoint: File that the command starts from.

    Raises:
        UserError: The directory contains another run; or `--run_dir` is missing although torchrun or srun started the
            processes, each of which would choose another directory.
    """
    if is_child():
        return Path(os.environ[ENVIRONMENT])
    if requested is None:
        if is_started_with_others():
            raise UserError(
                "--run_dir with processes that torchrun or srun started",
                "none",
                "Set --run_dir, for example to runs/NAME: all processes must write to the same directory.",
            )
        directory = _new_directory(command, task, identity)
    else:
        directory = Path(requested).expanduser()
        if directory.exists() and not directory.is_dir():
            raise UserError(f"a directory at --run_dir {directory}", "a file", "Choose another path.")
        if is_first_process():
            _refuse_occupied(directory, command, checkpoint)
        directory.mkdir(parents=True, exist_ok=True)
    os.environ[ENVIRONMENT] = str(directory)
    return directory


def _new_directory(command: str, task: str, identity: str) -> Path:
    """Create a directory that did not exist: `mkdir` decides which of two processes gets a name."""
    prefix = "" if command == "fit" else f"{command}-"
    first = Path("runs") / f"{prefix}{task}-{time.strftime('%Y%m%d-%H%M%S')}-{identity}"
    first.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        directory = first if number == 1 else first.with_name(f"{first.name}-{number}")
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise AssertionError


def _refuse_occupied(directory: Path, command: str, checkpoint: str | None) -> None:
    resumes = checkpoint is not None and any(
        Path(checkpoint).resolve().parent == place.resolve() for place in (directory, directory / CHECKPOINTS)
    )
    if resumes or command not in {"fit", "validate"}:
        return
    has_result = run_status(directory) in {"finished", "damaged"}
    if has_result or (command == "fit" and all_checkpoints(directory)):
        raise UserError(
            f"a run directory that {command} has not written to",
            f"results of an earlier run in {directory}",
            "Choose another --run_dir, delete it, or resume with --ckpt_path=auto.",
        )
