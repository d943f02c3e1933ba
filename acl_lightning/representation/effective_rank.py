"""Effective rank: number of directions that a representation uses."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def effective_rank(embeddings_nD: Tensor) -> float:
    r"""Return the exponential of the entropy of the singular values of the centred embeddings.

    .. math:: \exp\Bigl(-\sum_k p_k \ln p_k\Bigr), \quad p_k = \sigma_k / \sum_l \sigma_l

    Source: Roy & Vetterli 2007. Centring is our reading: otherwise the common direction that `anisotropy` measures
    would dominate the others. Unlike the other measures this depends on the lengths of the vectors.

    Args:
        embeddings_nD: Embeddings at an exit.

    Returns:
        A value from 1 (all samples on a line) to min(n - 1, D) (equal spread in every direction); 0 if all samples are
        equal. NaN without samples.
    """
    if len(embeddings_nD) == 0:
        return math.nan
    matrix_nD = embeddings_nD.detach().to(torch.float64)
    sigma = torch.linalg.svdvals(matrix_nD - matrix_nD.mean(dim=0))
    rounding = torch.finfo(torch.float64).eps * max(matrix_nD.shape) * torch.linalg.matrix_norm(matrix_nD)
    sigma = sigma[sigma > rounding]
    if len(sigma) == 0:
        return 0.0
    entropy: float = torch.special.entr(sigma / sigma.sum()).sum().item()
    return math.exp(entropy)
