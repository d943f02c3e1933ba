"""A directory of its own for every run: where it lies, what may already be in it, which checkpoint is meant."""

from __future__ import annotations

import hashlib
import os
import time
import zipfile
from pathlib import Path

from acl_lightning.errors import UserError

#: Handed from the main process to those that a distributed strategy starts, so that all share one directory.
ENVIRONMENT = "ACL_LIGHTNING_RUN_DIR"

CHECKPOINTS = "checkpoints"


def config_hash(config_text: str) -> str:
    """Identity of a run: the first 10 hex digits of the SHA-256 of its whole resolved configuration."""
    return hashlib.sha256(config_text.encode()).hexdigest()[:10]


def choose_run_directory(requested: str | None, command: str, task: str, identity: str, *, resuming: bool) -> Path:
    """The run's directory; not created yet.

    Without a request it is `runs/[COMMAND-]TASK-TIME-IDENTITY`, new each time. A requested one must not hold what the
    command would overwrite: `fit` wants it empty unless it resumes, `validate` wants no `result.json`.

    Raises:
        UserError: a second run into the same directory.
    """
    if int(os.environ.get("LOCAL_RANK", "0")) > 0 and ENVIRONMENT in os.environ:
        return Path(os.environ[ENVIRONMENT])
    if requested is None:
        prefix = "" if command == "fit" else f"{command}-"
        directory = Path("runs") / f"{prefix}{task}-{time.strftime('%Y%m%d-%H%M%S')}-{identity}"
    else:
        directory = Path(requested).expanduser()
        occupied = {"fit": not resuming and directory.is_dir() and any(directory.iterdir())}
        occupied["validate"] = (directory / "result.json").exists()
        if directory.exists() and not directory.is_dir():
            raise UserError(f"a directory at --run_dir {directory}", "a file", "Choose another path.")
        if occupied.get(command, False):
            raise UserError(
                f"a run directory that {command} has not written to",
                f"results of an earlier run in {directory}",
                "Choose another --run_dir, delete it, or resume with --ckpt_path=last.",
            )
    os.environ[ENVIRONMENT] = str(directory)
    return directory


def find_checkpoint(requested: str | None, run_directory: str | None) -> str | None:
    """Turn `last` and `best` into the files of the requested run directory, and check that a file is a checkpoint.

    Raises:
        UserError: no such file, or one that is damaged or no checkpoint at all.
    """
    if requested is None:
        return None
    path = Path(requested).expanduser()
    if requested in {"last", "best"}:
        if run_directory is None:
            raise UserError(f"--run_dir beside --ckpt_path={requested}", "none", "Name the run, or give a file.")
        path = Path(run_directory).expanduser() / CHECKPOINTS / f"{requested}.ckpt"
    if not path.is_file():
        raise UserError(f"a checkpoint at {path}", "no such file", "Checkpoints lie in RUN/checkpoints/.")
    if not zipfile.is_zipfile(path):
        raise UserError(f"a checkpoint at {path}", "a damaged file, or another format", "Take best.ckpt or last.ckpt.")
    return str(path)
