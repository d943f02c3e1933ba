"""Context of a running command: the lock of its run directory and the handler of SIGTERM."""

from __future__ import annotations

import contextlib
from pathlib import Path

from acl_lightning.files import remove_temporary_files
from acl_lightning.runs.names import CHECKPOINTS
from acl_lightning.runs.session.interruption import Termination
from acl_lightning.runs.session.lock import locked


class Session(contextlib.ExitStack):
    """A context for one command.

    Attributes:
        termination: Handler of SIGTERM.
        command: Name of the command; empty until it is known.
        run: Run directory; None until it is chosen.
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
        """Use a run directory until the end of the command. If it is empty then, it is removed.

        Args:
            run: Existing directory.
            lock: Whether to take its lock and to remove temporary files of a killed process. Off for all but the first
                process of a distributed run.

        Raises:
            UserError: Another command uses the directory.
        """
        self.run = run
        if lock:
            self.callback(_remove_if_empty, run)
            self.enter_context(locked(run))
            for directory in (run, run / CHECKPOINTS):
                remove_temporary_files(directory)


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):
        directory.rmdir()
