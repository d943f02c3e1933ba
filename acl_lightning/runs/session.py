"""What one command holds while it runs: the lock of its run directory, and the handler of SIGTERM."""

from __future__ import annotations

import contextlib
from pathlib import Path

from acl_lightning.files import remove_temporary_files
from acl_lightning.runs.interruption import Termination
from acl_lightning.runs.lock import locked


class Session(contextlib.ExitStack):
    """A context for one command.

    Attributes:
        termination: handler of SIGTERM.
        command: name of the command, once it is known.
        run: run directory, once it is chosen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.termination = Termination()
        self.command = ""
        self.run: Path | None = None

    def __enter__(self) -> Session:
        self.enter_context(self.termination)
        return self

    def use(self, run: Path, *, lock: bool) -> None:
        """Take a run directory until the end of the command. A directory that is empty then is removed.

        Args:
            run: existing directory.
            lock: take its lock, and remove temporary files that a killed process left. Off for further processes of a
                distributed run, whose first process holds the lock.

        Raises:
            UserError: another command uses the directory.
        """
        self.run = run
        if lock:
            self.callback(_remove_if_empty, run)
            self.enter_context(locked(run))
            for directory in (run, run / "checkpoints"):
                remove_temporary_files(directory)


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
