"""Anisotropy: similarity of the directions of all embeddings."""

from __future__ import annotations

import math

from torch import Tensor

from acl_lightning.representation.directions import unit_vectors


def anisotropy(embeddings_nD: Tensor) -> float:
    r"""Return the mean cosine between different samples, over all pairs.

    .. math:: \frac{1}{n (n - 1)} \sum_{i \neq j} z_i \cdot z_j
              = \frac{\lVert \sum_i z_i \rVert^2 - \sum_i \lVert z_i \rVert^2}{n (n - 1)}

    Source: Ethayarajh 2019 (arXiv 1909.00512), where it is estimated from sampled pairs; the right-hand side includes
    all pairs in linear time. The cosine with a zero vector is 0.

    Args:
        embeddings_nD: Embeddings at an exit.

    Returns:
        A value from -1 / (n - 1) to 1 (all directions are equal); about 0 for uniform directions. NaN for fewer than
        two samples.
    """
    n = len(embeddings_nD)
    if n < 2:
        return math.nan
    units_nD = unit_vectors(embeddings_nD)
    return (units_nD.sum(dim=0).square().sum() - units_nD.square().sum()).item() / (n * (n - 1))
