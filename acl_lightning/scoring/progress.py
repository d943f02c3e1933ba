"""Progress of `score` on standard error: a bar in a terminal with rich, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

#: Seconds between two lines.
INTERVAL = 10.0


class ScoringProgress:
    """Number of scored rows and rows per second.

    Args:
        total: Number of rows; None if it is not known.
        resumed: Number of rows that an earlier command wrote, which do not count for the speed.
    """

    def __init__(self, total: int | None, resumed: int = 0) -> None:
        self.total, self.resumed = total, resumed
        self._start = self._last = time.monotonic()
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task = None if self._bar is None else self._bar.add_task("", total=total, completed=resumed, speed="")

    def __enter__(self) -> ScoringProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, rows: int) -> None:
        """Show progress.

        Args:
            rows: Number of rows in the output.
        """
        now = time.monotonic()
        speed = max(0, rows - self.resumed) / max(now - self._start, 1e-9)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=rows, speed=f"{speed:,.0f}")
        elif now - self._last >= INTERVAL:
            self._last = now
            of = "" if self.total is None else f" of {self.total:,}"
            print(f"{rows:,}{of} rows, {speed:,.0f} rows/s", file=sys.stderr, flush=True)  # noqa: T201


def _bar() -> Progress | None:
    """Return a progress bar; None where rich is not installed, as in the image of the service."""
    try:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    except ImportError:
        return None
    return Progress(
        BarColumn(),
        TextColumn("{task.completed:,.0f} rows, {task.fields[speed]} rows/s"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
