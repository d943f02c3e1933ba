"""Mean and sample standard deviation of a quantity over runs, as numbers, CSV columns and text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of one quantity over several runs.

    Attributes:
        mean: Arithmetic mean; None where any value is undefined, since the mean of the others would be too good.
        std: Sample standard deviation `sqrt(sum (x - mean)^2 / (n - 1))`; None where n is 1 or the mean is None.
        n: Number of values.
    """

    mean: float | None
    std: float | None
    n: int

    def columns(self, name: str) -> dict[str, float | None]:
        """Return the cells `NAME_mean` and `NAME_std` of a CSV row."""
        return {f"{name}_mean": self.mean, f"{name}_std": self.std}

    def text(self, factor: float = 1.0, digits: int | None = None) -> str:
        """Return `mean ± std`, `mean` where there is one run, or `undefined`.

        Args:
            factor: Multiplies both numbers: 100 for percent.
            digits: Decimals. None: 1 for means of 10 or more, else 2.
        """
        if self.mean is None:
            return "undefined"
        if digits is None:
            digits = 1 if abs(factor * self.mean) >= 10 else 2
        mean = f"{factor * self.mean:.{digits}f}"
        return mean if self.std is None else f"{mean} ± {factor * self.std:.{digits}f}"


def spread(values: Sequence[float | None]) -> Spread:
    """Return mean and standard deviation of values; None and NaN are undefined values."""
    assert values
    defined = [value for value in values if value is not None and not math.isnan(value)]
    if len(defined) < len(values):
        return Spread(None, None, len(values))
    std = statistics.stdev(defined) if len(defined) > 1 else None
    return Spread(statistics.fmean(defined), std, len(values))
