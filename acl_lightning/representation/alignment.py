"""How close the samples of a class lie together."""

from __future__ import annotations

import math

from torch import Tensor

from acl_lightning.representation.directions import classes_of, scatter, unit_vectors


def alignment(embeddings_nD: Tensor, labels_n: Tensor) -> float:
    r"""Mean squared distance of the unit vectors of two samples of one class, over all such pairs.

    .. math:: \frac{1}{|P|} \sum_{(i,j) \in P} \lVert z_i - z_j \rVert^2, \quad P = \{i < j : y_i = y_j\}

    Source: Wang & Isola 2020 (arXiv 2005.10242) with exponent 2; the positive pairs are those of SCL (our reading:
    theirs are two views of one sample). In linear time: the pairs of a class of m samples sum up to m times the sum of
    squared distances to its mean.

    Args:
        embeddings_nD: of one exit.
        labels_n: their classes.

    Returns:
        From 0 (every class a point) to just above 2 (directions cancel within each class); smaller is tighter. NaN
        where no class has two samples.
    """
    units_nD = unit_vectors(embeddings_nD)
    total, pairs = 0.0, 0
    for label in classes_of(labels_n):
        members_mD = units_nD[labels_n == label]
        total += len(members_mD) * scatter(members_mD)
        pairs += len(members_mD) * (len(members_mD) - 1) // 2
    return total / pairs if pairs else math.nan


def class_separation(embeddings_nD: Tensor, labels_n: Tensor) -> float:
    r"""Share of the spread of the unit vectors that lies between the classes rather than within them.

    .. math:: 1 - \frac{\sum_c \sum_{i : y_i = c} \lVert z_i - \mu_c \rVert^2}{\sum_i \lVert z_i - \mu \rVert^2}

    with the mean of a class and of all samples. Source: the correlation ratio of the analysis of variance. Unlike
    `alignment` it does not improve when the whole representation collapses into one direction.

    Returns:
        From 0 (classes have one mean) to 1 (every class is a point). NaN where all samples have one direction.
    """
    units_nD = unit_vectors(embeddings_nD)
    if len(units_nD) == 0:
        return math.nan
    whole = scatter(units_nD)
    if whole <= len(units_nD) * 1e-24:  # all equal but for rounding
        return math.nan
    within = sum([scatter(units_nD[labels_n == label]) for label in classes_of(labels_n)])
    return max(0.0, 1 - within / whole)
