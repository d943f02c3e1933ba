"""Tests whether exits and confidences of scored rows are distributed as those of the validation rows.

Both tests take counts, treat the validation rows as a sample, too, and have a p-value: if the scored rows and the
validation rows are independent draws from the same distribution, p is less than a in at most a share a of all cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Smallest expected count of a cell of the chi-square test; exits with less are merged with the next deeper exit.
SMALLEST_EXPECTED = 5.0

#: Number of samples that is added to every bin of the stability index, so that an empty bin does not make it infinite.
PSEUDO_COUNT = 0.5


@dataclass(frozen=True)
class DriftTest:
    """Result of a test.

    Attributes:
        name: Name of the test.
        statistic: Its statistic.
        p_value: Probability of a statistic at least as large without drift; 1 where nothing can be tested.
    """

    name: str
    statistic: float
    p_value: float


def exit_drift(validation_E: Sequence[float], scored_E: Sequence[float]) -> DriftTest:
    """Compare two samples of exits by Pearson's chi-square test of homogeneity.

    With the counts `O[s, e]` of sample s at exit e and the expected counts `M[s, e] = O[s, .] O[., e] / O[., .]`, the
    statistic `sum (O - M)^2 / M` has nearly a chi-square distribution with E - 1 degrees of freedom. Neighbouring exits
    are merged until every expected count is at least 5; with a single cell left, p is 1.

    Args:
        validation_E: Number of validation rows that left at each exit.
        scored_E: Number of scored rows that left at each exit.

    >>> exit_drift([60, 40], [60, 40])
    DriftTest(name='chi-square', statistic=0.0, p_value=1.0)
    """
    counts_2E = _merged(np.array([validation_E, scored_E], dtype=np.float64))
    cells = counts_2E.shape[1]
    if cells < 2:
        return DriftTest("chi-square", 0.0, 1.0)
    expected_2E = counts_2E.sum(axis=1, keepdims=True) * counts_2E.sum(axis=0) / counts_2E.sum()
    statistic = float(((counts_2E - expected_2E) ** 2 / expected_2E).sum())
    return DriftTest("chi-square", statistic, chi_square_survival(statistic, cells - 1))


def confidence_drift(validation_bins: Sequence[float], scored_bins: Sequence[float]) -> DriftTest:
    """Compare two samples of confidences, counted in the same bins, by the Kolmogorov-Smirnov test.

    The statistic is the largest difference of the distribution functions at the edges of the bins,
    `D = max |F(x) - G(x)|`, and p is the limit `Q(D sqrt(n m / (n + m)))` of its distribution for large samples of n
    and m rows. With counts in bins, D can only be smaller than with the confidences themselves, so that the test is
    conservative: false alarms are rarer than p states.

    Args:
        validation_bins: Number of validation rows in each bin.
        scored_bins: Number of scored rows in each bin.

    >>> confidence_drift([10, 90], [10, 90])
    DriftTest(name='Kolmogorov-Smirnov', statistic=0.0, p_value=1.0)
    """
    validation, scored = np.asarray(validation_bins, np.float64), np.asarray(scored_bins, np.float64)
    n, m = float(validation.sum()), float(scored.sum())
    if not n or not m:
        return DriftTest("Kolmogorov-Smirnov", 0.0, 1.0)
    distance = float(np.abs(validation.cumsum() / n - scored.cumsum() / m).max())
    return DriftTest("Kolmogorov-Smirnov", distance, kolmogorov_survival(distance * math.sqrt(n * m / (n + m))))


def stability_index(validation_bins: Sequence[float], scored_bins: Sequence[float]) -> float:
    """Return the population stability index `sum (q - p) ln(q / p)` of two histograms, a measure without a test.

    It is 0 for equal shares p and q; a common rule of thumb calls less than 0.1 small and more than 0.25 large. Half a
    sample is added to every bin.

    Args:
        validation_bins: Number of validation rows in each bin.
        scored_bins: Number of scored rows in each bin.

    >>> round(stability_index([500, 500], [600, 400]), 3)
    0.04
    """
    shares = []
    for counts in (validation_bins, scored_bins):
        smoothed = np.asarray(counts, np.float64) + PSEUDO_COUNT
        shares.append(smoothed / smoothed.sum())
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def chi_square_survival(statistic: float, degrees: int) -> float:
    """Return the probability that a chi-square variable is at least `statistic`, for an integer degree of freedom.

    `Q(k + 2, x) = Q(k, x) + (x / 2)^(k / 2) exp(-x / 2) / Gamma(k / 2 + 1)`, from `Q(1, x) = erfc(sqrt(x / 2))` and
    `Q(2, x) = exp(-x / 2)`.

    >>> round(chi_square_survival(3.841459, 1), 4)
    0.05
    """
    if statistic <= 0:
        return 1.0
    half = statistic / 2
    start = 1 if degrees % 2 else 2
    survival = math.erfc(math.sqrt(half)) if start == 1 else math.exp(-half)
    for k in range(start, degrees, 2):
        survival += math.exp(k / 2 * math.log(half) - half - math.lgamma(k / 2 + 1))
    return min(1.0, survival)


def kolmogorov_survival(value: float) -> float:
    """Return `Q(x) = 2 sum_k (-1)^(k - 1) exp(-2 k^2 x^2)`, the limit distribution of the Kolmogorov-Smirnov statistic.

    >>> round(kolmogorov_survival(1.3581), 4)
    0.05
    """
    if value < 0.2:  # 1 in float64; the series converges slowly there
        return 1.0
    terms = (2 * (-1) ** (k - 1) * math.exp(-2 * (k * value) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, math.fsum(terms)))


def _merged(counts_2E: NDArray[np.float64]) -> NDArray[np.float64]:
    """Merge neighbouring exits until every expected count is large enough."""
    totals_2 = counts_2E.sum(axis=1)
    smaller_share = totals_2.min() / totals_2.sum() if totals_2.sum() else 0.0
    cells: list[NDArray[np.float64]] = []
    waiting = np.zeros(2)
    for column_2 in counts_2E.T:
        waiting = waiting + column_2
        if waiting.sum() * smaller_share >= SMALLEST_EXPECTED:
            cells.append(waiting)
            waiting = np.zeros(2)
    if waiting.sum():
        if cells:
            cells[-1] = cells[-1] + waiting
        else:
            cells.append(waiting)
    return np.array(cells).T.reshape(2, -1)
