"""Do harder samples leave later?"""

from __future__ import annotations

import torch
from torch import Tensor


def mean_layer_by_grade(layers_B: Tensor, difficulty_B: Tensor) -> dict[int, float]:
    """Mean exit layer of the samples of each difficulty grade (whole numbers, larger is harder), by ascending grade."""
    grades_B = difficulty_B.long()
    return {grade: layers_B[grades_B == grade].double().mean().item() for grade in sorted(set(grades_B.tolist()))}


def spearman(first_B: Tensor, second_B: Tensor) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None where one of the two is constant.

    `rho = corr(rank(first), rank(second))`, between -1 and 1.
    """
    ranks = torch.stack([_ranks(first_B), _ranks(second_B)])
    if (ranks.amin(dim=1) == ranks.amax(dim=1)).any():
        return None
    return torch.corrcoef(ranks)[0, 1].item()


def _ranks(values_B: Tensor) -> Tensor:
    sorted_B = values_B.sort().values
    below_B = torch.searchsorted(sorted_B, values_B, right=False)
    not_above_B = torch.searchsorted(sorted_B, values_B, right=True)
    return (below_B + 1 + not_above_B).double() / 2
