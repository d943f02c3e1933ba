"""Who leaves where: shares per exit within each class, or within each grade of difficulty."""

from __future__ import annotations

from torch import Tensor


def exit_histogram(exits_B: Tensor, groups_B: Tensor, num_exits: int) -> dict[int, tuple[float, ...]]:
    """Share of each group's samples that leaves at each exit: group -> E shares that sum to 1, groups ascending.

    Args:
        exits_B: index of the exit at which each sample leaves.
        groups_B: what to tell apart: the class, or the grade of difficulty (whole numbers).
        num_exits: E.
    """
    found = {}
    for group in sorted(set(groups_B.long().tolist())):
        members_N = exits_B[groups_B.long() == group]
        found[group] = tuple((members_N.bincount(minlength=num_exits).double() / len(members_N)).tolist())
    return found
