"""Whether all embeddings point the same way."""

from __future__ import annotations

import math

from torch import Tensor

from acl_lightning.representation.directions import unit_vectors


def anisotropy(embeddings_nD: Tensor) -> float:
    r"""Mean cosine of two different samples, over all pairs.

    .. math:: \frac{1}{n (n - 1)} \sum_{i \neq j} z_i \cdot z_j
              = \frac{\lVert \sum_i z_i \rVert^2 - \sum_i \lVert z_i \rVert^2}{n (n - 1)}

    Source: Ethayarajh 2019 (arXiv 1909.00512), who estimates it from sampled pairs; the right-hand side has all of them
    in linear time. The cosine with a zero vector counts as 0.

    Returns:
        1 where all point the same way, about 0 where directions are uniform, -1 / (n - 1) at least. NaN below two
        samples.
    """
    n = len(embeddings_nD)
    if n < 2:
        return math.nan
    units_nD = unit_vectors(embeddings_nD)
    return (units_nD.sum(dim=0).square().sum() - units_nD.square().sum()).item() / (n * (n - 1))
