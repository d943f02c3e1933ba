"""Exclusive use of a run directory by one command at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from acl_lightning.errors import UserError
from acl_lightning.runs.names import LOCK


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the lock of an existing run directory.

    The operating system releases the lock when the process ends, also when it is killed. Forked loader workers do not
    inherit it. The file is removed on release.

    Raises:
        UserError: Another process holds the lock.
    """
    path = directory / LOCK
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"a run directory that no other process writes to at {directory}",
            "another process that holds its lock",
            "Wait until it ends, or choose another --run_dir.",
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release: a process that locks a removed file notices and tries again
        lock.release()
