"""Paired comparison of two methods over seeds and report samples: difference, interval, p-value, detectable difference.

S is the number of seeds that both methods have, R the number of bootstrap resamples of the report samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

#: Power at which a difference counts as detectable.
POWER = 0.8


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference of two methods over S seeds, and its uncertainty.

    Attributes:
        difference: Mean of the differences of the seeds.
        standard_error: Standard error over seeds and samples; None where it cannot be estimated: a single seed or
            equal differences, of a value without resamples.
        degrees: Degrees of freedom of the standard error; infinite where it does not contain a variance over seeds.
        seeds: Number of pairs S.
    """

    difference: float
    standard_error: float | None
    degrees: float
    seeds: int

    @property
    def p(self) -> float | None:
        """Two-sided p-value of `difference / standard_error` under Student's t; None without a standard error.

        1 where the methods agree on every sample and seed.
        """
        if self.standard_error is None:
            return None
        if self.standard_error == 0:
            return 1.0
        return float(2 * stats.t.sf(abs(self.difference) / self.standard_error, self.degrees))

    def interval(self, level: float = 0.05) -> tuple[float, float] | None:
        """Return the interval `difference ± t(1 - level / 2) * standard_error`; None without a standard error.

        Args:
            level: 1 - coverage.
        """
        if self.standard_error is None:
            return None
        margin = float(stats.t.ppf(1 - level / 2, self.degrees)) * self.standard_error
        return self.difference - margin, self.difference + margin

    def detectable(self, level: float = 0.05) -> float | None:
        """Return the smallest true difference that a test at this level would show with a probability of 0.8.

        `(t(1 - level / 2) + t(0.8)) * standard_error`, the minimum detectable effect of Bloom (1995), with quantiles
        of Student's t. None without a standard error, and for methods that agree everywhere, whose error of 0 does not
        tell what a difference would vary by.

        Args:
            level: Level of the test; with m corrected comparisons, `level / m` is the level of the hardest one.
        """
        if not self.standard_error:
            return None
        quantiles = stats.t.ppf([1 - level / 2, POWER], self.degrees)
        return float(quantiles.sum()) * self.standard_error


def paired_difference(differences_S: Array, resampled_RS: Array | None = None) -> PairedDifference:
    """Return the mean difference with its standard error over seeds and samples.

    The bootstrap is hierarchical: seeds are drawn, and report samples within them. All seeds and both methods share the
    draws of the samples, because they are measured on the same samples. The level of the seeds is computed in closed
    form with an unbiased variance, since a bootstrap of S = 5 seeds underestimates it by a fifth, and its percentile
    intervals are too narrow:

    `standard_error^2 = max(s^2 / S + max(c, 0), v)`,

    where `s^2` is the sample variance of the differences over seeds, which contains the sampling error that the seeds
    do not share; `c` is the mean over pairs of different seeds of the bootstrap covariance of their differences, the
    sampling error that they share; and `v` is the bootstrap variance of the mean difference with the seeds held fixed,
    a lower bound, without which few seeds that agree by chance would give an error of 0. The degrees of freedom are
    `standard_error^4 / ((s^2 / S)^2 / (S - 1))`. Except for the lower bound, this is the analysis of Obuchowski
    and Rockette (1995) with the degrees of freedom of Hillis (2007), with seeds as readers and samples as cases. With
    one seed it is `v`, which does not cover other seeds; without resamples it is the paired t-test over seeds.

    Args:
        differences_S: Difference of the methods for each seed.
        resampled_RS: The same differences on each resample; None for a measure that is not one of samples.
    """
    seeds = len(differences_S)
    assert seeds
    difference = float(differences_S.mean())
    over_seeds = float(differences_S.var(ddof=1)) / seeds if seeds > 1 else 0.0
    if resampled_RS is None:
        error = math.sqrt(over_seeds) if over_seeds > 0 or (seeds > 1 and difference == 0) else None
        return PairedDifference(difference, error, max(seeds - 1, 1), seeds)
    variance = over_seeds + (max(_shared_variance(resampled_RS), 0.0) if seeds > 1 else 0.0)
    variance = max(variance, float(resampled_RS.mean(axis=1).var(ddof=1)))
    degrees = variance**2 / (over_seeds**2 / (seeds - 1)) if over_seeds > 0 else math.inf
    return PairedDifference(difference, math.sqrt(variance), degrees, seeds)


def _shared_variance(resampled_RS: Array) -> float:
    """Return the mean covariance of two different columns."""
    seeds = resampled_RS.shape[1]
    of_sum = resampled_RS.sum(axis=1).var(ddof=1)
    return float((of_sum - resampled_RS.var(axis=0, ddof=1).sum()) / (seeds * (seeds - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number m by the step-down method of Holm (1979).

    In ascending order the k-th adjusted value is `min(1, max over j <= k of (m - j + 1) * p_j)`. Rejecting those below
    alpha keeps the probability of any false rejection at alpha or below, for any dependence.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
