"""Locks of trials, which a trial's process keeps when the runner that started it is killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

#: Name of the lock file in the directory of a trial.
TRIAL_LOCK = "trial.lock"


class TrialLock:
    """Exclusive right to run a trial.

    The lock belongs to the open file. A child process that inherits the file descriptor keeps the lock after the death
    of the process that took it: a second runner does not start a trial whose process still runs. The operating system
    releases the lock when the last of these processes ends.

    Args:
        descriptor: Descriptor of the locked file.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> TrialLock | None:
        """Take the lock of a trial, whose directory is created; None where another process holds it.

        Raises:
            OSError: The file system refuses the directory or the file.
        """
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / TRIAL_LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """Close the file. The lock is free unless a child process has inherited it."""
        os.close(self.descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file; False where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    return False
