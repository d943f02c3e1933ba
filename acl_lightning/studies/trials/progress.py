"""Progress of a study in a terminal, or as lines in a file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text


@dataclass
class Counts:
    """Numbers of trials of a study.

    Attributes:
        total: All trials.
        finished: Finished trials, those of earlier runners included.
        failed: Trials that failed in all attempts.
        elsewhere: Trials that another process runs.
        running: Label -> start (`time.monotonic`) of the trials that this runner runs.
        seconds: Durations of finished trials, in seconds.
    """

    total: int
    finished: int = 0
    failed: int = 0
    elsewhere: int = 0
    running: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def text(self, workers: int) -> str:
        """Return the numbers and the estimated time left in a line.

        Args:
            workers: Number of trials at a time.
        """
        parts = [f"{self.finished} of {self.total} trials finished", f"{len(self.running)} running"]
        parts += [f"{self.elsewhere} running elsewhere"] if self.elsewhere else []
        parts += [f"{self.failed} failed"]
        left = self.seconds_left(workers)
        parts += [] if left is None else [f"about {duration(left)} left"]
        return ", ".join(parts)

    def seconds_left(self, workers: int) -> float | None:
        """Return the estimated time until all trials are done; None where nothing is known.

        It is the mean duration of finished trials, times the number of trials left, less the time that running trials
        have taken, divided by the number of workers.
        """
        left = self.total - self.finished - self.failed
        if not self.seconds or not left:
            return None
        mean = sum(self.seconds) / len(self.seconds)
        now = time.monotonic()
        passed = sum(min(now - start, mean) for start in self.running.values())
        return max(0.0, mean * left - passed) / max(1, min(workers, left))


def duration(seconds: float) -> str:
    """Return a duration in words.

    >>> duration(40), duration(400), duration(40_000), duration(400_000)
    ('40 s', '7 min', '11 h 7 min', '4 d 15 h')
    """
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    days, rest = divmod(hours, 24)
    return f"{days} d {rest} h" if days else f"{hours} h {minutes} min"


class Progress:
    """Shows the progress of a study: a live display in a terminal, otherwise a line per event.

    Args:
        counts: Numbers, changed by the runner.
        workers: Number of trials at a time.
        console: Where to print; None for stdout.
    """

    def __init__(self, counts: Counts, workers: int, console: Console | None = None) -> None:
        self.counts, self.workers = counts, workers
        self.console = console or Console(soft_wrap=True)
        self._live = Live(get_renderable=self._display, console=self.console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def event(self, text: str) -> None:
        """Print what happened; without a terminal also the numbers."""
        shown = text if self.console.is_terminal else f"{text}; {self.counts.text(self.workers)}"
        self.console.print(Text(shown), soft_wrap=True)

    def _display(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for label, start in self.counts.running.items():
            table.add_row(Text(f"  running {duration(time.monotonic() - start)}: {label}"))
        done = self.counts.finished + self.counts.failed
        table.add_row(ProgressBar(total=max(1, self.counts.total), completed=done, width=40))
        table.add_row(Text(self.counts.text(self.workers)))
        return table


def numbers(states: Mapping[str, int]) -> str:
    """Return numbers of trials by state as a text.

    >>> numbers({"finished": 2, "failed": 0, "waiting": 1})
    '2 finished, 1 waiting'
    """
    return ", ".join(f"{number} {state}" for state, number in states.items() if number) or "no trials"
