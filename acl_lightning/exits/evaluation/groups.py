"""Exit layers of groups of samples: by class, and by grade of difficulty."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from acl_lightning.exits.evaluation.record import ExitRecord
from acl_lightning.exits.evaluation.report import Difficulty
from acl_lightning.metrics import ranks


def exit_histogram(exits_B: Tensor, groups_B: Tensor, num_exits: int) -> dict[int, tuple[float, ...]]:
    """Return the share of each group's samples that leaves at each exit: group -> E shares, groups ascending.

    Args:
        exits_B: Index of the exit at which each sample leaves.
        groups_B: Group of each sample, a whole number.
        num_exits: Number of exits E.
    """
    shares = {}
    for group in sorted(set(groups_B.long().tolist())):
        members_N = exits_B[groups_B.long() == group]
        shares[group] = tuple((members_N.bincount(minlength=num_exits).double() / len(members_N)).tolist())
    return shares


def groups_of(record: ExitRecord) -> dict[str, Tensor]:
    """Return the group of each sample, by kind of group: `class` and `difficulty`, where they are known."""
    groups = {"class": None if record.is_regression else record.labels_B, "difficulty": record.difficulty_B}
    return {kind: groups_B for kind, groups_B in groups.items() if groups_B is not None}


def histograms(record: ExitRecord, exits_B: Tensor) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return `exit_histogram` for each kind of group, with the groups as text.

    Args:
        record: The samples.
        exits_B: Index of the exit at which each sample leaves.
    """
    num_exits = len(record.costs.layers_E)
    return {
        kind: {str(group): shares for group, shares in exit_histogram(exits_B, groups_B, num_exits).items()}
        for kind, groups_B in groups_of(record).items()
    }


def group_counts(record: ExitRecord) -> dict[str, dict[str, int]]:
    """Return the number of samples of each group: kind of group -> group -> number."""
    return {
        kind: {str(group): count for group, count in sorted(Counter(groups_B.long().tolist()).items())}
        for kind, groups_B in groups_of(record).items()
    }


def measure_difficulty(record: ExitRecord, exits_B: Tensor) -> Difficulty | None:
    """Return how difficulty and exit layer relate; None where the difficulty of the samples is unknown.

    Args:
        record: The samples.
        exits_B: Index of the exit at which each sample leaves.
    """
    if record.difficulty_B is None:
        return None
    layers_B = exits_B.new_tensor(record.costs.layers_E)[exits_B]
    return Difficulty(spearman(layers_B, record.difficulty_B), mean_layer_by_grade(layers_B, record.difficulty_B))


def mean_layer_by_grade(layers_B: Tensor, difficulty_B: Tensor) -> dict[int, float]:
    """Return the mean exit layer of each difficulty grade (whole numbers, larger is harder), grades ascending."""
    grades_B = difficulty_B.long()
    return {grade: layers_B[grades_B == grade].double().mean().item() for grade in sorted(set(grades_B.tolist()))}


def spearman(first_B: Tensor, second_B: Tensor) -> float | None:
    """Return Spearman's rank correlation, ties at their mean rank; None where an argument is constant.

    `rho = corr(rank(first), rank(second))`, between -1 and 1.
    """
    ranks_2B = torch.stack([ranks(first_B), ranks(second_B)])
    if (ranks_2B.amin(dim=1) == ranks_2B.amax(dim=1)).any():
        return None
    return torch.corrcoef(ranks_2B)[0, 1].item()
