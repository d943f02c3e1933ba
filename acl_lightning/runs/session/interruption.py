"""Handling of SIGTERM and Ctrl-C: exit codes, and advice on how to continue."""

from __future__ import annotations

import shlex
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from acl_lightning.runs.names import CONFIG

#: Exit codes of shells for a process that a signal ended: 128 + its number.
TERMINATED = 128 + signal.SIGTERM
INTERRUPTED = 128 + signal.SIGINT


class Termination:
    """A context in which SIGTERM raises `SystemExit`.

    While a Trainer runs, Lightning's handler calls this one after itself. Training and evaluation then end at the end
    of the batch with an exception of Lightning; this handler raises only where Lightning does not.

    Attributes:
        received: Whether SIGTERM was received.
        immediate: Whether to raise also while a Trainer runs: Lightning's prediction loop does not stop at SIGTERM.
    """

    def __init__(self) -> None:
        self.received = False
        self.immediate = False
        self._previous: Any = None

    def __enter__(self) -> Termination:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._previous = signal.signal(signal.SIGTERM, self)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        self.received = True
        if self.immediate or signal.getsignal(signal.SIGTERM) is self:
            raise SystemExit(TERMINATED)

    def exit_code(self, stop: BaseException) -> int | None:
        """Return the exit code of a command that a signal ended with the exception `stop`; None for other exceptions.

        At Ctrl-C Lightning calls `sys.exit(1)` while it handles the `KeyboardInterrupt`.
        """
        if isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt):
            return INTERRUPTED
        return TERMINATED if self.received else None


def advice(code: int, command: str, run: Path | None) -> str:
    """Return a line with the command that continues after an interruption.

    Args:
        code: Exit code, `TERMINATED` or `INTERRUPTED`.
        command: Name of the command.
        run: Run directory; None without one.
    """
    cause = "Ctrl-C" if code == INTERRUPTED else "SIGTERM"
    if command != "fit" or run is None or not (run / CONFIG).is_file():
        return f"interrupted by {cause}. To start again, repeat the command."
    config, directory = shlex.quote(str(run / CONFIG)), shlex.quote(str(run))
    return (
        f"interrupted by {cause}. To continue: "
        f"python -m acl_lightning fit --config {config} --run_dir={directory} --ckpt_path=auto"
    )
