"""How close the label embedding of a class lies to the samples of the class: what ACL-Embed is to bring about."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acl_lightning.representation.directions import classes_of, unit_vectors


def label_distance(embeddings_nD: Tensor, labels_n: Tensor, label_embeddings_CD: Tensor) -> float:
    r"""Mean cosine distance of a label embedding to the mean of its class, `1 - cos(e_c, mu_c)`.

    :math:`\mu_c` is the mean of the unit vectors of the class. Our reading of "aligned"; no paper gives a formula.

    Args:
        embeddings_nD: of one exit.
        labels_n: their classes, indices into the label embeddings.
        label_embeddings_CD: one vector per class.

    Returns:
        From 0 (they point the same way) to 2 (opposite), averaged over the classes that have a sample. NaN without one.
    """
    own_P, _ = _cosines(embeddings_nD, labels_n, label_embeddings_CD)
    return (1 - own_P).mean().item() if len(own_P) else math.nan


def label_margin(embeddings_nD: Tensor, labels_n: Tensor, label_embeddings_CD: Tensor) -> float:
    r"""How much closer a label embedding is to its own class mean than to the nearest other one, in cosine distance.

    .. math:: \cos(e_c, \mu_c) - \max_{d \neq c} \cos(e_c, \mu_d)

    Arguments as for `label_distance`; our reading.

    Returns:
        From -2 to 2, averaged over the classes that have a sample; negative where label embeddings belong to the wrong
        class. NaN where fewer than two classes have one.
    """
    own_P, other_P = _cosines(embeddings_nD, labels_n, label_embeddings_CD)
    return (own_P - other_P).mean().item() if len(own_P) > 1 else math.nan


def _cosines(embeddings_nD: Tensor, labels_n: Tensor, label_embeddings_CD: Tensor) -> tuple[Tensor, Tensor]:
    """For each of the P classes present: cosine of its label embedding with its mean, and with the nearest other."""
    units_nD = unit_vectors(embeddings_nD)
    present = classes_of(labels_n)
    if len(present) == 0:
        return units_nD.new_empty(0), units_nD.new_empty(0)
    means_PD = unit_vectors(torch.stack([units_nD[labels_n == label].mean(dim=0) for label in present]))
    cosines_PP = unit_vectors(label_embeddings_CD)[present] @ means_PD.T
    own = torch.eye(len(present), dtype=torch.bool)
    return cosines_PP.diagonal(), cosines_PP.masked_fill(own, -math.inf).amax(dim=1)
