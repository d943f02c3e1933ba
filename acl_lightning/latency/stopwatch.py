"""Wall-clock timing of several functions in turn, so that a slow phase of the machine affects all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from acl_lightning.errors import UserError


class TimeRange(NamedTuple):
    """Median, smallest and largest of several times, or of ratios of times."""

    median: float
    low: float
    high: float


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    repeats: int,
    *,
    wait: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time every candidate once per round, in order, after a round of warm-up.

    Args:
        candidates: Name -> function to time.
        repeats: Number of rounds after the warm-up.
        wait: Function that waits until the device is idle; called before the clock is read.
        clock: Function that returns the time in seconds.

    Returns:
        Name -> seconds of each round.

    Raises:
        UserError: `repeats` is less than 1.
    """
    if repeats < 1:
        raise UserError("--repeats of 1 or more", f"{repeats}", "Set --repeats to 1 or more (default 5).")
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for round_ in range(repeats + 1):
        for name, call in candidates.items():
            wait()
            start = clock()
            call()
            wait()
            if round_ > 0:
                seconds[name].append(clock() - start)
    return seconds


def time_range(values: Sequence[float]) -> TimeRange:
    """Return median, smallest and largest of at least one value."""
    return TimeRange(statistics.median(values), min(values), max(values))


def ratio(reference: Sequence[float], candidate: Sequence[float]) -> TimeRange:
    """Return the range of the speed-up of the candidate, with one ratio per round.

    Args:
        reference: Seconds of the reference in each round.
        candidate: Seconds of the candidate in the same rounds.
    """
    return time_range([slow / fast for slow, fast in zip(reference, candidate, strict=True)])
