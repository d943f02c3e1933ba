"""Distance between the label embedding and the samples of a class, which ACL-Embed is designed to reduce."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acl_lightning.representation.directions import classes_of, unit_vectors


def label_distance(embeddings_nD: Tensor, labels_n: Tensor, label_embeddings_CD: Tensor) -> float:
    r"""Return the mean cosine distance between a label embedding and the mean of its class, `1 - cos(e_c, mu_c)`.

    :math:`\mu_c` is the mean of the unit vectors of the class. This is our reading of "aligned"; the papers give no
    formula.

    Args:
        embeddings_nD: Embeddings at an exit.
        labels_n: Class of every sample, an index into the label embeddings.
        label_embeddings_CD: A vector per class.

    Returns:
        A value from 0 (same direction) to 2 (opposite direction), averaged over the classes with samples. NaN without
        samples.
    """
    own_P, _ = _cosines(embeddings_nD, labels_n, label_embeddings_CD)
    return (1 - own_P).mean().item() if len(own_P) else math.nan


def label_margin(embeddings_nD: Tensor, labels_n: Tensor, label_embeddings_CD: Tensor) -> float:
    r"""Return how much closer a label embedding is to the mean of its class than to the nearest other class mean.

    .. math:: \cos(e_c, \mu_c) - \max_{d \neq c} \cos(e_c, \mu_d)

    In cosine distance. The measure is our reading. Arguments as for `label_distance`.

    Returns:
        A value from -2 to 2, averaged over the classes with samples; negative if label embeddings are closer to other
        classes. NaN if fewer than two classes have samples.
    """
    own_P, other_P = _cosines(embeddings_nD, labels_n, label_embeddings_CD)
    return (own_P - other_P).mean().item() if len(own_P) > 1 else math.nan


def _cosines(embeddings_nD: Tensor, labels_n: Tensor, label_embeddings_CD: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cosine of each label embedding with the mean of its class and with the nearest other, (P,) each."""
    units_nD = unit_vectors(embeddings_nD)
    present = classes_of(labels_n)
    if len(present) == 0:
        return units_nD.new_empty(0), units_nD.new_empty(0)
    means_PD = unit_vectors(torch.stack([units_nD[labels_n == label].mean(dim=0) for label in present]))
    cosines_PP = unit_vectors(label_embeddings_CD)[present] @ means_PD.T
    own = torch.eye(len(present), dtype=torch.bool)
    return cosines_PP.diagonal(), cosines_PP.masked_fill(own, -math.inf).amax(dim=1)
