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
    strata: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        strata.setdefault(round(label), []).append(row)
    shares = {label: divmod(size * len(rows), len(labels)) for label, rows in sorted(strata.items())}
    left_over = size - sum(quotient for quotient, _ in shares.values())
    rounded_up = set(sorted(shares, key=lambda label: -shares[label][1])[:left_over])
    random = Random(f"rows/{seed}")
    drawn: list[int] = []
    for label, (quotient, _) in shares.items():
        drawn += random.sample(strata[label], k=quotient + (label in rounded_up))
    return sorted(drawn)
