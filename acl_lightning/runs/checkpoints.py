"""Checkpoints of a run: which files exist, which one a command starts from, and whether a file is undamaged."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.runs.names import (
    BEST_CHECKPOINT,
    CHECKPOINTS,
    LAST_CHECKPOINT,
    requeue_checkpoint,
    requeue_number,
)
from acl_lightning.runs.processes import is_child

#: Environment variable that hands the file of `--ckpt_path` to the processes of a distributed run; empty for none.
CHECKPOINT_ENVIRONMENT = "ACL_LIGHTNING_CKPT_PATH"

#: Values of `--ckpt_path` that stand for a file of the run directory.
NAMES = ("auto", "last", "best", "hpc")


def run_of(checkpoint: str | os.PathLike[str]) -> Path:
    """Return the run directory of a checkpoint at `RUN/checkpoints/NAME.ckpt` or `RUN/hpc_ckpt_N.ckpt`."""
    parent = Path(checkpoint).resolve().parent
    return parent.parent if parent.name == CHECKPOINTS else parent


def all_checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoint files of a run, without temporary files of a killed process."""
    files = [*(directory / CHECKPOINTS).glob("*.ckpt"), *requeue_checkpoints(directory)]
    return [path for path in files if not path.name.startswith(".")]


def requeue_checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints of SLURM requeues, the newest first."""
    numbers = {path: requeue_number(path.name) for path in directory.glob("*.ckpt")}
    numbered = [(number, path) for path, number in numbers.items() if number is not None]
    return [path for _, path in sorted(numbered, reverse=True)]


def next_requeue_checkpoint(directory: Path) -> Path:
    """Return the path of the checkpoint of the next SLURM requeue."""
    newest = next((requeue_number(path.name) for path in requeue_checkpoints(directory)), None)
    return directory / requeue_checkpoint((newest or 0) + 1)


def shared_checkpoint(requested: str | None, run_directory: str | None, command: str) -> str | None:
    """Return the file of `find_checkpoint`, the same in all processes that a distributed strategy starts."""
    if is_child() and CHECKPOINT_ENVIRONMENT in os.environ:
        return os.environ[CHECKPOINT_ENVIRONMENT] or None
    path = find_checkpoint(requested, run_directory, command)
    os.environ[CHECKPOINT_ENVIRONMENT] = path or ""
    return path


def is_requeued(run_directory: str | None) -> bool:
    """Whether this is a requeued SLURM job: SLURM counts restarts, or there is a checkpoint of a requeue."""
    if run_directory is None or "SLURM_JOB_ID" not in os.environ:
        return False
    restarted = os.environ.get("SLURM_RESTART_COUNT", "0") not in {"", "0"}
    return restarted or any(requeue_checkpoints(Path(run_directory).expanduser()))


def find_checkpoint(requested: str | None, run_directory: str | None, command: str) -> str | None:
    """Return the file that `--ckpt_path` stands for, after a check of its content.

    `last`, `best` and `hpc` (the newest checkpoint of a SLURM requeue) are files of the run directory. `auto`, which
    only `fit` accepts, is the newest undamaged file of `last` and `hpc`; None where there is no such file yet.

    Args:
        requested: Value of `--ckpt_path`.
        run_directory: Value of `--run_dir`.
        command: Name of the command.

    Raises:
        UserError: There is no such file, it is damaged or contains no checkpoint; or `--ckpt_path` is missing for a
            command other than `fit`, which would measure untrained heads.
    """
    if requested is None:
        if command != "fit":
            raise UserError(f"--ckpt_path for {command}", "none", "Set --ckpt_path=RUN/checkpoints/best.ckpt.")
        return None
    if requested in NAMES and run_directory is None:
        raise UserError(
            f"--run_dir beside --ckpt_path={requested}", "none", "Set --run_dir to the run, or --ckpt_path to a file."
        )
    if requested == "auto":
        if command != "fit":
            raise UserError(f"a checkpoint for {command}", "--ckpt_path=auto", "Set --ckpt_path=best.")
        newest = newest_checkpoint(Path(str(run_directory)).expanduser())
        return None if newest is None else str(newest)
    path = _named(requested, run_directory)
    if not path.is_file():
        present = sorted(file.name for file in path.parent.glob("*.ckpt"))
        remedy = f"That directory has {', '.join(present)}." if present else "Checkpoints lie in RUN/checkpoints/."
        if requested in NAMES and command == "fit":
            remedy += " Set --ckpt_path=auto to start anew where none was saved."
        raise UserError(f"a checkpoint at {path}", "no such file", remedy)
    content = read_checkpoint(path)
    if isinstance(content, str):
        raise UserError(
            f"a checkpoint at {path}", content, "Set --ckpt_path to best.ckpt or last.ckpt of a run of this program."
        )
    return str(path)


def _named(requested: str, run_directory: str | None) -> Path:
    files = {"last": LAST_CHECKPOINT, "best": BEST_CHECKPOINT}
    if requested in files:
        return Path(str(run_directory)).expanduser() / CHECKPOINTS / files[requested]
    if requested == "hpc":
        directory = Path(str(run_directory)).expanduser()
        return next(iter(requeue_checkpoints(directory)), directory / requeue_checkpoint(1))
    return Path(requested).expanduser()


def newest_checkpoint(directory: Path) -> Path | None:
    """Return the checkpoint with the most optimiser steps among `last.ckpt` and `hpc_ckpt_N.ckpt`.

    Damaged files are skipped: a process may be killed while it writes a file.
    """
    progress = []
    for path in [directory / CHECKPOINTS / LAST_CHECKPOINT, *requeue_checkpoints(directory)]:
        content = read_checkpoint(path) if path.is_file() else "no such file"
        if not isinstance(content, str):
            progress.append((int(content["global_step"]), path.stat().st_mtime, path))
    return max(progress)[-1] if progress else None


def read_checkpoint(path: Path) -> dict[str, Any] | str:
    """Return the content of a checkpoint file; for a damaged file, a description of the damage.

    Every byte is compared with its checksum. Tensors are mapped from the file and read when they are used.
    """
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return "a damaged file"
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except zipfile.BadZipFile:
        return "a damaged file, or another format"
    except Exception as error:
        return f"a file that cannot be loaded ({type(error).__name__})"
    needed = {"state_dict", "pytorch-lightning_version", "global_step"}
    if not isinstance(content, dict) or not needed <= content.keys():
        return "a file without a Lightning checkpoint in it"
    return content
