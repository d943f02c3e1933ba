"""Part files: incomplete outputs that a later command continues."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import BinaryIO

from acl_lightning.errors import UserError


def open_part(path: Path, part: Path, setting: str) -> BinaryIO:
    """Open the part file of an output for appending, and lock it until it is closed.

    Args:
        path: File that the part file becomes.
        part: The part file, in the same directory.
        setting: Option that names `path`, for messages.

    Raises:
        UserError: Another process is writing the part file, or the file system refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("ab+")
    except OSError as error:
        raise refused(path, error, setting) from error
    if not lock(file):
        file.close()
        raise UserError(f"no other process that writes {path}", "a running process", f"Set {setting} to another file.")
    return file


def lock(file: BinaryIO) -> bool:
    """Lock a file until it is closed. Return False if another process holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def refused(path: Path, error: OSError, setting: str) -> UserError:
    """Return the error for a file system that refuses to write.

    Args:
        path: The output.
        error: Reason.
        setting: Option that names `path`.
    """
    return UserError(
        f"to write {path}",
        f"{error.strerror or error}",
        f"Free space and repeat the command, which continues where it stopped; or set {setting} to another file.",
    )
