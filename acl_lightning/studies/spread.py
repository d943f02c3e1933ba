"""Mean and standard deviation over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Several runs' values of one quantity.

    Attributes:
        mean: their mean; None where any of them is undefined, because the mean of the others would flatter.
        std: their sample standard deviation `sqrt(sum (x - mean)^2 / (n - 1))`; None where n is 1 or the mean is None.
        n: number of values.
    """

    mean: float | None
    std: float | None
    n: int


def spread(values: Sequence[float | None]) -> Spread:
    """Summarise values; None and NaN stand for undefined."""
    assert values
    defined = [value for value in values if value is not None and not math.isnan(value)]
    if len(defined) < len(values):
        return Spread(None, None, len(values))
    std = statistics.stdev(defined) if len(defined) > 1 else None
    return Spread(statistics.fmean(defined), std, len(values))
