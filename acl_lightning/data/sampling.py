"""Choosing rows so that the labels keep their shares."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random


def stratified_rows(labels: Sequence[float], size: int, seed: int) -> list[int]:
    """Choose `size` rows at random such that every label keeps its share of them to within one row.

    The rows left over after rounding down go to the labels with the largest remainders. Scores (STS-B) are grouped by
    the nearest integer. A function of the arguments alone, on every platform.

    Args:
        labels: one class index or score a row.
        size: how many rows to choose, 0 to `len(labels)`.
        seed: of the choice within each label.

    Returns:
        The chosen row numbers, ascending.
    """
    assert 0 <= size <= len(labels)
    strata: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        strata.setdefault(round(label), []).append(row)
    shares = {label: divmod(size * len(rows), len(labels)) for label, rows in sorted(strata.items())}
    left_over = size - sum(quotient for quotient, _ in shares.values())
    rounded_up = set(sorted(shares, key=lambda label: -shares[label][1])[:left_over])
    random = Random(f"rows/{seed}")
    chosen: list[int] = []
    for label, (quotient, _) in shares.items():
        chosen += random.sample(strata[label], k=quotient + (label in rounded_up))
    return sorted(chosen)
