"""A directory of its own for every run: where it lies, what may already be in it, which checkpoint is meant."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from pathlib import Path

import torch

from acl_lightning.errors import UserError

#: Handed from the main process to those that a distributed strategy starts, so that all share one directory.
ENVIRONMENT = "ACL_LIGHTNING_RUN_DIR"

CHECKPOINTS = "checkpoints"


def config_hash(config_text: str) -> str:
    """Identity of a run: the first 10 hex digits of the SHA-256 of its resolved configuration.

    The text must leave out where the run writes and what it resumes from: neither makes it another run.
    """
    return hashlib.sha256(config_text.encode()).hexdigest()[:10]


def choose_run_directory(requested: str | None, command: str, task: str, identity: str, checkpoint: str | None) -> Path:
    """The run's directory; not created yet.

    Without a request it is `runs/[COMMAND-]TASK-TIME-IDENTITY`, new each time. A requested one must not hold what the
    command would overwrite: for `fit` a checkpoint or a finished result (unless it resumes from a checkpoint in there;
    a run that failed before its first checkpoint may be repeated in place), for `validate` a finished result (unless it
    measures a checkpoint in there: then the run's own result is measured anew, for example with other budgets).

    Args:
        requested: `--run_dir`.
        command: the subcommand.
        task: for the directory's name.
        identity: see `config_hash`.
        checkpoint: the file that the command starts from.

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
        if directory.exists() and not directory.is_dir():
            raise UserError(f"a directory at --run_dir {directory}", "a file", "Choose another path.")
        checkpoints = directory / CHECKPOINTS
        resumes = checkpoint is not None and Path(checkpoint).resolve().parent == checkpoints.resolve()
        occupied = {
            "fit": not resumes and (_is_finished(directory) or any(checkpoints.glob("*.ckpt"))),
            "validate": not resumes and _is_finished(directory),
        }
        if occupied.get(command, False):
            raise UserError(
                f"a run directory that {command} has not written to",
                f"results of an earlier run in {directory}",
                "Choose another --run_dir, delete it, or resume with --ckpt_path=last.",
            )
    os.environ[ENVIRONMENT] = str(directory)
    return directory


def _is_finished(directory: Path) -> bool:
    try:
        return bool(json.loads((directory / "result.json").read_text(encoding="utf-8"))["status"] == "finished")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, TypeError, KeyError):
        return True  # not ours to judge, so not ours to overwrite


def find_checkpoint(requested: str | None, run_directory: str | None, command: str) -> str | None:
    """Turn `last` and `best` into the files of the requested run directory, and check that a file is a checkpoint.

    Raises:
        UserError: no such file; one that is damaged or no checkpoint at all; none given to a command other than `fit`,
            which would measure heads that were never trained.
    """
    if requested is None:
        if command != "fit":
            raise UserError(f"--ckpt_path for {command}", "none", "Give RUN/checkpoints/best.ckpt.")
        return None
    path = Path(requested).expanduser()
    if requested in {"last", "best"}:
        if run_directory is None:
            raise UserError(f"--run_dir beside --ckpt_path={requested}", "none", "Name the run, or give a file.")
        path = Path(run_directory).expanduser() / CHECKPOINTS / f"{requested}.ckpt"
    if not path.is_file():
        raise UserError(f"a checkpoint at {path}", "no such file", "Checkpoints lie in RUN/checkpoints/.")
    damage = _damage(path)
    if damage is not None:
        raise UserError(f"a checkpoint at {path}", damage, "Take best.ckpt or last.ckpt of a run of this program.")
    return str(path)


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file: every byte is compared with its checksum, and the record is opened."""
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
    return None
