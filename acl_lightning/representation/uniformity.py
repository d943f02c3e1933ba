"""Uniformity: how evenly embeddings are distributed on the sphere."""

from __future__ import annotations

import math

from torch import Tensor

from acl_lightning.representation.directions import unit_vectors


def uniformity(embeddings_nD: Tensor, t: float = 2.0, *, chunk: int = 1024) -> float:
    r"""Return the logarithm of the mean Gaussian potential between different samples, over all pairs.

    .. math:: \log \frac{2}{n (n - 1)} \sum_{i < j} \exp(-t \lVert z_i - z_j \rVert^2)

    Source: Wang & Isola 2020 (arXiv 2005.10242), t = 2. Time grows with n squared, memory with n.

    Args:
        embeddings_nD: Embeddings at an exit.
        t: Decay > 0 of the potential.
        chunk: Number of rows that are compared with all others at a time. Two matrices of chunk times n float64 numbers
            are in memory, 330 MB each for n = 40,000.

    Returns:
        A value from -4 t to 0 (all directions are equal); smaller for a more even distribution. NaN for fewer than two
        samples.
    """
    assert t > 0
    assert chunk > 0
    n = len(embeddings_nD)
    if n < 2:
        return math.nan
    units_nD = unit_vectors(embeddings_nD)
    squares_n = units_nD.square().sum(dim=1)
    total = 0.0
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        products = units_nD[rows] @ units_nD[start:].T
        distances = (squares_n[rows, None] + squares_n[start:] - 2 * products).clamp_(min=0)
        total += distances.mul_(-t).exp_().triu_(1).sum().item()
    return math.log(2 * total / (n * (n - 1)))
