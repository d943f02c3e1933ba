"""Process of a trial: start, log, signals, and the reason of a failure."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from acl_lightning.errors import UserError
from acl_lightning.studies.trials.locks import TrialLock
from acl_lightning.studies.trials.trial import TRIAL_LOG, Trial

#: Seconds between the signals that stop a trial, and the signals.
STOPPING = ((signal.SIGINT, 20.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))

#: Exit codes of a process that SIGKILL ended, which the kernel sends when memory runs out: of Popen, and of a shell.
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)

#: Exit code of `fit` for a mistake in the configuration, which another attempt does not repair.
MISTAKE = 2

#: Free bytes below which a failed trial is taken for one that failed because of a full disk.
NO_SPACE = 2**16

_FULL = os.strerror(errno.ENOSPC)


class TrialProcess:
    """Running attempt of a trial.

    The process has a new session: Ctrl-C in the terminal reaches the runner only, which then stops it. It
    inherits the lock of the trial. Its output is appended to `trial.log`.

    Args:
        trial: The trial.
        lock: Its lock, taken by this process.
        environment: Environment variables beside those of this process.
        attempt: Number of the attempt, counted from 1.

    Raises:
        UserError: The file system refuses a file, or the program of the command cannot be started.
    """

    def __init__(self, trial: Trial, lock: TrialLock, environment: Mapping[str, str], attempt: int) -> None:
        self.trial, self.lock, self.attempt = trial, lock, attempt
        self.started = time.monotonic()
        trial.prepare()
        command = trial.command_line()
        self._log = trial.directory / TRIAL_LOG
        with self._log.open("ab") as log:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            log.write(f"# {now}, attempt {attempt}: {' '.join(command)}\n".encode())
            log.flush()
            self._start_of_log = log.tell()
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**_environment(), **environment},
                    start_new_session=True,
                    pass_fds=(lock.descriptor,),
                )
            except (FileNotFoundError, PermissionError) as error:
                remedy = 'Begin command in the sweep file with ["${env}", python, -m, acl_lightning, fit].'
                raise UserError(
                    "a program for the command of a trial", f"{error.strerror}: {command[0]}", remedy
                ) from error

    def exit_code(self) -> int | None:
        """Return the exit code; None while the process runs. Negative: the number of the signal that ended it."""
        return self._process.poll()

    def reason(self) -> str:
        """Return in a line why the process, which has ended, failed."""
        code, last = self._process.returncode, self._last_line()
        if code in KILLED:
            return f"killed (signal 9), as the kernel does when memory runs out. Use fewer --workers. Last line: {last}"
        return f"exit code {code}: {last or 'no output'}"

    def disk_is_full(self) -> bool:
        """Whether the output reports a full disk, or the disk is so full that the output could not be written."""
        return _FULL in self._tail() or shutil.disk_usage(self.trial.directory).free < NO_SPACE

    def send(self, number: int) -> None:
        """Send a signal to the process and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _tail(self) -> str:
        """Return the end of the output of this attempt."""
        with self._log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._start_of_log, end - 8192))
            return log.read().decode(errors="replace")

    def _last_line(self) -> str:
        lines = [line.strip() for line in self._tail().replace("\r", "\n").splitlines()]
        return next((line for line in reversed(lines) if line), "")[:500]


def stop(processes: Sequence[TrialProcess]) -> None:
    """Stop processes by SIGINT, then SIGTERM, then SIGKILL; a further Ctrl-C sends the next signal at once."""
    for number, patience in STOPPING:
        if signal.getsignal(number) == signal.SIG_IGN:  # in background jobs of a shell, and in their child processes
            continue
        running = [process for process in processes if process.exit_code() is None]
        if not running:
            return
        for process in running:
            process.send(number)
        deadline = time.monotonic() + patience
        with contextlib.suppress(KeyboardInterrupt):
            while any(process.exit_code() is None for process in running) and time.monotonic() < deadline:
                time.sleep(0.1)


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or the error that caused it, is that of a full disk."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return isinstance(error, UserError) and is_full_disk(error.__cause__)


def full_disk(path: Path) -> UserError:
    """Return the error that stops a study on a full disk."""
    return UserError(
        f"free space on the disk of {path}",
        f"{_FULL.lower()}",
        "Free disk space and repeat the command: finished trials are kept, interrupted ones continue.",
    )


def _environment() -> dict[str, str]:
    """Return the environment variables of a trial.

    `python` is the interpreter of this process. Variables of SLURM are left out: they describe this process, and
    Lightning would take the tasks of an allocation for the processes of a trial.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return {**variables, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
