"""Stratified random subsets of rows."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def stratified_rows(labels: Sequence[float], size: int, seed: int) -> list[int]:
    """Draw `size` rows at random so that every label keeps its share to within one row.

    After rounding down, the remaining rows go to the labels with the largest remainders. Scores (STS-B) are grouped by
    the nearest integer. The result depends on the arguments only, on every platform.

    Args:
        labels: Class index or score of each row.
        size: Number of rows to draw, 0 to `len(labels)`.
        seed: Seed of the random draw within each label.

    Returns:
        The row numbers, ascending.
    """
    assert 0 <= size <= len(labels)
    strata = _strata(labels)
    shares = {label: divmod(size * len(rows), len(labels)) for label, rows in sorted(strata.items())}
    left_over = size - sum(quotient for quotient, _ in shares.values())
    rounded_up = set(sorted(shares, key=lambda label: -shares[label][1])[:left_over])
    random = Random(f"rows/{seed}")
    drawn: list[int] = []
    for label, (quotient, _) in shares.items():
        drawn += random.sample(strata[label], k=quotient + (label in rounded_up))
    return sorted(drawn)


def stratified_order(labels: Sequence[float], seed: int) -> list[int]:
    """Return all rows in a random order of which every beginning keeps the labels' shares to within about one row.

    The rows of each label are shuffled. The k-th of the n rows of a label (k from 0) has the position (k + 1/2) / n,
    and all rows are sorted by it (the method of Webster and Sainte-Laguë); labels with equal positions follow each
    other in a random order. A smaller subset is therefore contained in a larger one. Scores are grouped as in
    `stratified_rows`.

    Args:
        labels: Class index or score of each row.
        seed: Seed of the order.

    Returns:
        Every row number once. The result depends on the arguments only, on every platform.

    >>> labels = [0, 0, 0, 0, 1, 1]
    >>> [labels[row] for row in stratified_order(labels, seed=0)]
    [0, 1, 0, 0, 1, 0]
    """
    strata = _strata(labels)
    random = Random(f"order/{seed}")
    names = sorted(strata)
    random.shuffle(names)
    placed = []
    for turn, name in enumerate(names):
        rows = strata[name]
        random.shuffle(rows)
        placed += [((2 * number + 1) / (2 * len(rows)), turn, row) for number, row in enumerate(rows)]
    return [row for _, _, row in sorted(placed)]


def _strata(labels: Sequence[float]) -> dict[int, list[int]]:
    """Return the rows of each label; scores are rounded to the nearest integer."""
    strata: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        strata.setdefault(round(label), []).append(row)
    return strata
