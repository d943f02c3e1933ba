"""Alignment and separation of classes: distances between samples of the same class."""

from __future__ import annotations

import math

from torch import Tensor

from acl_lightning.representation.directions import classes_of, scatter, unit_vectors


def alignment(embeddings_nD: Tensor, labels_n: Tensor) -> float:
    r"""Return the mean squared distance between unit vectors of the same class, over all pairs of samples.

    .. math:: \frac{1}{|P|} \sum_{(i,j) \in P} \lVert z_i - z_j \rVert^2, \quad P = \{i < j : y_i = y_j\}

    Source: Wang & Isola 2020 (arXiv 2005.10242) with exponent 2. The positive pairs are those of SCL (our reading; in
    the paper they are two views of a sample). Computed in linear time: the sum over the pairs of a class with m samples
    is m times the sum of squared distances to the mean of the class.

    Args:
        embeddings_nD: Embeddings at an exit.
        labels_n: Class of every sample.

    Returns:
        A value from 0 (every class is a point) to slightly above 2 (directions cancel within each class). NaN if no
        class has two samples.
    """
    units_nD = unit_vectors(embeddings_nD)
    total, pairs = 0.0, 0
    for label in classes_of(labels_n):
        members_mD = units_nD[labels_n == label]
        total += len(members_mD) * scatter(members_mD)
        pairs += len(members_mD) * (len(members_mD) - 1) // 2
    return total / pairs if pairs else math.nan


def class_separation(embeddings_nD: Tensor, labels_n: Tensor) -> float:
    r"""Return the share of the spread of the unit vectors that lies between the classes, not within them.

    .. math:: 1 - \frac{\sum_c \sum_{i : y_i = c} \lVert z_i - \mu_c \rVert^2}{\sum_i \lVert z_i - \mu \rVert^2}

    with the mean of a class and the mean of all samples. Source: the correlation ratio of the analysis of variance.
    Unlike `alignment` it does not improve when the representation collapses into a single direction.

    Args:
        embeddings_nD: Embeddings at an exit.
        labels_n: Class of every sample.

    Returns:
        A value from 0 (all classes have the same mean) to 1 (every class is a point). NaN if all samples have the same
        direction.
    """
    units_nD = unit_vectors(embeddings_nD)
    if len(units_nD) == 0:
        return math.nan
    whole = scatter(units_nD)
    if whole <= len(units_nD) * 1e-24:  # all equal up to rounding
        return math.nan
    within = sum([scatter(units_nD[labels_n == label]) for label in classes_of(labels_n)])
    return max(0.0, 1 - within / whole)
