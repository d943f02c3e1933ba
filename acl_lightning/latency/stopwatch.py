"""Timing several things in turn, so that what slows the machine slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from acl_lightning.errors import UserError


class Spread(NamedTuple):
    """Median, smallest and largest of several values."""

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
    """Seconds of every candidate, round by round; a round calls each once, in order, and one before them warms up.

    Args:
        candidates: name -> what to call.
        repeats: rounds that count.
        wait: waits for the device; called before the clock is read.
        clock: in seconds.

    Raises:
        UserError: fewer than one round.
    """
    if repeats < 1:
        raise UserError("--repeats of 1 or more", f"{repeats}", "5 give a median and an idea of the spread.")
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


def spread(values: Sequence[float]) -> Spread:
    """Median, smallest and largest of `values`, of which there is one at least."""
    return Spread(statistics.median(values), min(values), max(values))


def ratio(reference: Sequence[float], candidate: Sequence[float]) -> Spread:
    """How many times as fast the candidate is: of the ratios of the rounds, each between neighbours in time."""
    return spread([slow / fast for slow, fast in zip(reference, candidate, strict=True)])
