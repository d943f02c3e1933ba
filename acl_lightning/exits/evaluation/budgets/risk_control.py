"""Thresholds whose drop on new data is bounded with a given confidence: Learn then Test, with bets.

Importing this module does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.operating_point import OperatingPoint, full_depth

#: Sizes of the bets, as shares of the largest bet. The weight of a bet is proportional to its size, which is the
#: uniform distribution of bets on a geometric grid: tests of few samples need large bets, of many samples small ones.
BETS = tuple(2.0 ** (-step / 2) for step in range(14))

#: Largest number of rows that `rows_needed` tries.
MOST_ROWS = 10_000_000


def drop_p_value(lost: int, gained: int, samples: int, drop: float) -> float:
    """Return a p-value of the hypothesis that the accuracy drops by `drop` or more on new data.

    D, the drop of a sample, is 1 where full depth is right and the point is wrong, -1 where it is the other way round,
    else 0. For a bet b in [0, 1 / (1 - drop)] the wealth `prod_i (1 + b (drop - D_i))` has a mean of at most 1 if
    E[D] >= drop, and so has its average W over the bets of `BETS`. By Markov's inequality P(1 / W <= t) <= t, so
    `min(1, 1 / W)` is a p-value for any number of samples. It does not depend on their order.

    Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 2024, arXiv
    2010.09686); the fixed mixture of bets is our choice. Bounds that do not adapt to the variance cannot be used: the
    samples whose answer changes are few, and Hoeffding-Bentkus needs about 60 000 samples to bound a drop of 1 point
    where no answer changes at all, this p-value 390.

    Args:
        lost: Number of samples with D = 1.
        gained: Number of samples with D = -1.
        samples: Number of samples.
        drop: Bound on the drop, a fraction.

    >>> round(drop_p_value(lost=0, gained=0, samples=390, drop=0.01), 3)
    0.05
    >>> round(drop_p_value(lost=2, gained=0, samples=1000, drop=0.01), 3)
    0.039
    """
    if drop >= 1:
        return 0.0
    return min(1.0, math.exp(-_log_wealth(lost, gained, samples, drop)))


def _log_wealth(lost: float, gained: float, samples: float, drop: float) -> float:
    """Return the logarithm of the mean wealth over the bets."""
    terms = []
    for share in BETS:
        bet = share / (1.0 - drop)
        logarithm = math.log(share / sum(BETS))
        logarithm += (samples - lost - gained) * math.log1p(bet * drop) + gained * math.log1p(bet * (drop + 1.0))
        if lost:
            remaining = 1.0 + bet * (drop - 1.0)  # 0 for the largest bet, which a single loss ruins
            logarithm += lost * math.log(remaining) if share < 1.0 else -math.inf
        terms.append(logarithm)
    largest = max(terms)
    return largest + math.log(sum(math.exp(term - largest) for term in terms))


def certified(points: Sequence[OperatingPoint], drop: float, confidence: float) -> list[OperatingPoint]:
    """Return the points of a sweep whose drop on new data is at most `drop`, all at once with the given confidence.

    P(any returned point has a drop above `drop`) <= 1 - confidence, over the draw of the selection split, for samples
    that are drawn independently from the distribution of the new data. The error probability is divided equally among
    the criteria, and among the variants of a criterion. The thresholds of a variant are tested in the order that was
    fixed before, from the highest, at which samples leave last, until the first that is not certified. Fewer criteria
    therefore certify faster points. Full depth is not tested: its drop is 0. Static exits, which every sweep measures,
    are tested only if there is no other criterion.

    Source: Angelopoulos et al., "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control" (arXiv
    2110.01052), fixed sequence testing.

    Args:
        points: Points that `sweep` returned.
        drop: Largest drop in accuracy, a fraction.
        confidence: Probability that the guarantee holds, in (0, 1).

    Raises:
        UserError: The quality of the points is not a mean over samples.
    """
    full = full_depth(points)
    passed = [full]
    for level, chain in _chains(points, 1.0 - confidence):
        for point in chain:
            if point is full:
                continue
            if _p_value(point, full, drop) > level:
                break
            passed.append(point)
    return passed


def rows_needed(points: Sequence[OperatingPoint], drop: float, confidence: float) -> int | None:
    """Return about how many rows a selection split needs to certify a point that is faster than full depth.

    The smallest number, over the criteria, at which the first point with early exits passes its test if answers change
    as often as on these rows; no answer changes before it.

    Args:
        points: Points that `sweep` returned.
        drop: Largest drop in accuracy, a fraction.
        confidence: Probability that the guarantee holds, in (0, 1).

    Returns:
        None where no number suffices: every first point drops as much as the budget or more on these rows.
    """
    full = full_depth(points)
    numbers = []
    for level, chain in _chains(points, 1.0 - confidence):
        first = next((point for point in chain if point.layer_speedup_selection > full.layer_speedup_selection), None)
        if first is None:
            continue
        lost, gained, samples = _counts(first)
        enough = _enough(lost / samples, gained / samples, drop, level)
        unchanged = _enough(0.0, 0.0, drop, level)
        if enough is not None and unchanged is not None:
            numbers.append(max(enough, unchanged))
    return min(numbers, default=None)


def _enough(lost: float, gained: float, drop: float, level: float) -> int | None:
    """Return the number of rows at which a point with these shares of changed answers has the p-value `level`."""

    def passes(rows: int) -> bool:
        return _log_wealth(lost * rows, gained * rows, rows, drop) >= -math.log(level)

    if not passes(MOST_ROWS):
        return None
    low, high = 1, MOST_ROWS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle + 1, high)
    return low


def _chains(points: Sequence[OperatingPoint], error: float) -> list[tuple[float, list[OperatingPoint]]]:
    """Return, per variant of each criterion, its error probability and its points from the highest threshold down."""
    variants: dict[str, dict[object, list[OperatingPoint]]] = {}
    adaptive = [point for point in points if not point.is_static]
    for point in adaptive or points:
        key = tuple(sorted(point.settings.items()))
        variants.setdefault(point.criterion_name, {}).setdefault(key, []).append(point)
    return [
        (error / len(variants) / len(family), sorted(chain, key=lambda point: -point.threshold))
        for family in variants.values()
        for chain in family.values()
    ]


def _counts(point: OperatingPoint) -> tuple[int, int, int]:
    """Return the numbers of lost, gained and all samples of the selection split."""
    lost, gained, samples = point.lost_selection, point.gained_selection, point.num_selection
    if lost is None or gained is None or samples is None:
        raise _no_mean("the points of a regression")
    return lost, gained, samples


def _p_value(point: OperatingPoint, full: OperatingPoint, drop: float) -> float:
    lost, gained, samples = _counts(point)
    if not math.isclose(full.quality_selection - point.quality_selection, (lost - gained) / samples, abs_tol=1e-6):
        raise _no_mean("a metric whose drop is not that of the accuracy")
    return drop_p_value(lost, gained, samples, drop)


def _no_mean(reason: str) -> UserError:
    return UserError(
        "accuracy, a mean over samples, for a drop with confidence",
        reason,
        "Leave the confidence out: the drop is then that on the selection split.",
    )


def check_metric(metric: str) -> None:
    """Raise `UserError` unless the metric is a mean over samples whose changes are counted per sample: accuracy."""
    if metric != "accuracy":
        raise _no_mean(metric)
