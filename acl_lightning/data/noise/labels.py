"""Symmetric label noise."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from acl_lightning.data.stratified import stratified_order


def flip_labels(labels: Sequence[int], num_classes: int, rate: float, seed: int) -> list[int]:
    """Return the labels with exactly `round(rate * n)` of them replaced by a wrong class.

    The rows are drawn stratified by label (not independently), so that every class loses its share of rows and runs
    with different seeds have the same amount of noise. The wrong class of a row is uniform over the other classes. Both
    are drawn before the rate is applied: the rows that are wrong at a small rate are wrong at a larger rate too, with
    the same wrong class.

    Args:
        labels: Class index of each of the n rows.
        num_classes: Number of classes C, at least 2.
        rate: Share of wrong labels, 0 to 1.
        seed: Seed of the draws.

    >>> flip_labels([0, 0, 0, 0, 1, 1, 1, 1], num_classes=2, rate=0.25, seed=0)
    [0, 0, 1, 0, 1, 1, 0, 1]
    """
    assert num_classes >= 2
    assert 0 <= rate <= 1
    random = Random(f"label noise/{seed}")
    wrong = [(label + random.randrange(1, num_classes)) % num_classes for label in labels]
    noisy = list(labels)
    for row in stratified_order(labels, random.getrandbits(32))[: round(rate * len(labels))]:
        noisy[row] = wrong[row]
    return noisy
