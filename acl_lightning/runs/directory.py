"""Directory of a run: choice, creation, and the checkpoints in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import zipfile
from itertools import count
from pathlib import Path
from typing import Any

import torch

from acl_lightning.errors import UserError

#: Handed from the main process to those that a distributed strategy starts, so that all share one directory.
ENVIRONMENT = "ACL_LIGHTNING_RUN_DIR"

#: The same for the checkpoint that `--ckpt_path` stands for; empty for none.
CHECKPOINT_ENVIRONMENT = "ACL_LIGHTNING_CKPT_PATH"

CHECKPOINTS = "checkpoints"

#: Values of `--ckpt_path` that stand for a file of the run directory.
NAMES = ("auto", "last", "best", "hpc")


def config_hash(config_text: str) -> str:
    """Return the identity of a run: the first 10 hex digits of the SHA-256 of its resolved configuration.

    The text must leave out where the run writes and what it resumes from: neither makes it another run.
    """
    return hashlib.sha256(config_text.encode()).hexdigest()[:10]


def is_first_process() -> bool:
    """Whether this is the only process of a run, or the one of a distributed run with rank 0.

    Known from the launcher's environment (torchrun, srun, or Lightning itself), before any process group exists.
    """
    return not any(_number(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"))


def is_child() -> bool:
    """Whether another process of this program started this one, as a rank of its distributed run."""
    return not is_first_process() and ENVIRONMENT in os.environ


def _number(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else 0


def _started_with_others() -> bool:
    """Whether torchrun or srun started this process together with others."""
    return not is_first_process() or max(_number("WORLD_SIZE"), _number("SLURM_NTASKS")) > 1


def choose_run_directory(requested: str | None, command: str, task: str, identity: str, checkpoint: str | None) -> Path:
    """Return the run's directory, which exists from now on.

    Without a request it is a new `runs/[COMMAND-]TASK-TIME-IDENTITY`, with a number behind it if another process has
    just created that. A requested one must not hold what the command would overwrite: for `fit` a checkpoint or a
    finished result (unless it resumes from a checkpoint in there; a run that failed before its first checkpoint may be
    repeated in place), for `validate` a finished result (unless it measures a checkpoint in there: then the run's own
    result is measured anew, for example with other budgets).

    Args:
        requested: `--run_dir`.
        command: the subcommand.
        task: for the directory's name.
        identity: see `config_hash`.
        checkpoint: the file that the command starts from.

    Raises:
        UserError: a second run into the same directory, or no request although torchrun or srun started the processes,
            each of which would choose a directory of its own.
    """
    if is_child():
        return Path(os.environ[ENVIRONMENT])
    if requested is None:
        if _started_with_others():
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
    occupied = {
        "fit": not resumes and (is_finished(directory, unreadable=True) or any(_checkpoints(directory))),
        "validate": not resumes and is_finished(directory, unreadable=True),
    }
    if occupied.get(command, False):
        raise UserError(
            f"a run directory that {command} has not written to",
            f"results of an earlier run in {directory}",
            "Choose another --run_dir, delete it, or resume with --ckpt_path=auto.",
        )


def _checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoint files of a run, without temporary ones that a killed process left."""
    files = [*(directory / CHECKPOINTS).glob("*.ckpt"), *_hpc_checkpoints(directory)]
    return [path for path in files if not path.name.startswith(".")]


def _hpc_checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints that a SLURM requeue left, the newest first."""
    numbered = [(re.fullmatch(r"hpc_ckpt_(\d+)\.ckpt", path.name), path) for path in directory.glob("hpc_ckpt_*.ckpt")]
    return [path for _, path in sorted(((int(match[1]), path) for match, path in numbered if match), reverse=True)]


def is_finished(directory: Path, *, unreadable: bool = False) -> bool:
    """Whether a run directory holds a finished result.

    Args:
        directory: the run directory.
        unreadable: the answer for a result that cannot be read.
    """
    try:
        return bool(json.loads((directory / "result.json").read_text(encoding="utf-8"))["status"] == "finished")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError, KeyError):
        return unreadable


def shared_checkpoint(requested: str | None, run_directory: str | None, command: str) -> str | None:
    """Return the file of `find_checkpoint`, the same in all processes that a distributed strategy starts."""
    if is_child() and CHECKPOINT_ENVIRONMENT in os.environ:
        return os.environ[CHECKPOINT_ENVIRONMENT] or None
    path = find_checkpoint(requested, run_directory, command)
    os.environ[CHECKPOINT_ENVIRONMENT] = path or ""
    return path


def is_requeued(run_directory: str | None) -> bool:
    """Whether this is a SLURM job that was requeued: SLURM counts its restarts, or the first part left a checkpoint."""
    if run_directory is None or "SLURM_JOB_ID" not in os.environ:
        return False
    restarted = os.environ.get("SLURM_RESTART_COUNT", "0") not in {"", "0"}
    return restarted or any(_hpc_checkpoints(Path(run_directory).expanduser()))


def find_checkpoint(requested: str | None, run_directory: str | None, command: str) -> str | None:
    """Return the file that `--ckpt_path` stands for, after a check that it holds a checkpoint.

    `last`, `best` and `hpc` (the newest that a SLURM requeue left) are files of the requested run directory. `auto`, of
    `fit` alone, is the newest undamaged one of `last` and `hpc`; None where there is none yet.

    Raises:
        UserError: no such file; one that is damaged or no checkpoint at all; none given to a command other than `fit`,
            which would measure heads that were never trained.
    """
    if requested is None:
        if command != "fit":
            raise UserError(f"--ckpt_path for {command}", "none", "Give RUN/checkpoints/best.ckpt.")
        return None
    if requested in NAMES and run_directory is None:
        raise UserError(f"--run_dir beside --ckpt_path={requested}", "none", "Name the run, or give a file.")
    if requested == "auto":
        if command != "fit":
            raise UserError(f"a checkpoint for {command}", "--ckpt_path=auto", "Set --ckpt_path=best.")
        newest = newest_checkpoint(Path(str(run_directory)).expanduser())
        return None if newest is None else str(newest)
    path = _named(requested, run_directory)
    if not path.is_file():
        remedy = "Checkpoints lie in RUN/checkpoints/."
        if requested in NAMES and command == "fit":
            remedy += " Set --ckpt_path=auto to start anew where none was saved."
        raise UserError(f"a checkpoint at {path}", "no such file", remedy)
    content = read_checkpoint(path)
    if isinstance(content, str):
        raise UserError(f"a checkpoint at {path}", content, "Take best.ckpt or last.ckpt of a run of this program.")
    return str(path)


def _named(requested: str, run_directory: str | None) -> Path:
    if requested in {"last", "best"}:
        return Path(str(run_directory)).expanduser() / CHECKPOINTS / f"{requested}.ckpt"
    if requested == "hpc":
        directory = Path(str(run_directory)).expanduser()
        return next(iter(_hpc_checkpoints(directory)), directory / "hpc_ckpt_1.ckpt")
    return Path(requested).expanduser()


def newest_checkpoint(directory: Path) -> Path | None:
    """Return the checkpoint of a run with the most optimiser steps, of `last.ckpt` and `hpc_ckpt_N.ckpt`.

    Damaged files are passed over: a process may be killed while it writes one.
    """
    progress = []
    for path in [directory / CHECKPOINTS / "last.ckpt", *_hpc_checkpoints(directory)]:
        content = read_checkpoint(path) if path.is_file() else "no such file"
        if not isinstance(content, str):
            progress.append((int(content["global_step"]), path.stat().st_mtime, path))
    return max(progress)[-1] if progress else None


def read_checkpoint(path: Path) -> dict[str, Any] | str:
    """Return the content of a checkpoint file, or what is wrong with it.

    Every byte is compared with its checksum. Tensors are mapped from the file, not read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return "a damaged file"
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except zipfile.BadZipFile:
        return "a damaged file, or another format"
    except Exception as error:
        return f"a file that cannot be loaded ({type(error).__name__})"
    if not isinstance(content, dict) or "state_dict" not in content or "pytorch-lightning_version" not in content:
        return "a file without a Lightning checkpoint in it"
    return content
