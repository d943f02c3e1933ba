"""Cosine similarity and the masked contrastive loss that every contrastive term of this project is an instance of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acl_lightning.errors import UserError

#: Below this length a vector has no direction: it is mapped to zero and receives no gradient.
SHORTEST = 1e-12


def check_temperature(
    temperature: float, usual: str = "Usual values lie between 0.05 and 1; the default is 0.3."
) -> float:
    """Return `temperature` if it is finite and positive.

    Raises:
        UserError: otherwise.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise UserError("a temperature > 0", f"{temperature}", usual)
    return temperature


def unit(vectors: Tensor) -> Tensor:
    """Divide by the Euclidean length along the last dimension; vectors shorter than 1e-12 become zero.

    Unlike a clamp of the denominator this gives such vectors a zero gradient instead of one of 1e12.
    """
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    has_direction = length > SHORTEST
    return torch.where(has_direction, vectors / torch.where(has_direction, length, 1.0), vectors.new_zeros(()))


def contrastive_loss(
    anchors_EAD: Tensor, pool_EPD: Tensor, positives_AP: Tensor, candidates_AP: Tensor, temperature: float
) -> Tensor:
    r"""Mean over anchors of the negative log share that their positives have among their candidates.

    .. math:: \ell_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log
              \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \in A(i)} \exp(z_i \cdot z_a / \tau)}

    with z the unit vectors. Source: Khosla et al. 2020 and Gunel et al. 2021 (arXiv 2011.01403), where P(i) and A(i)
    are the other samples of the same class and all other samples; here both are given as masks.

    Args:
        anchors_EAD: anchors of every exit, any length.
        pool_EPD: what they are compared with.
        positives_AP: bool, P(i); must be a subset of the candidates.
        candidates_AP: bool, A(i).
        temperature: tau > 0.

    Returns:
        (E,): mean over the anchors that have a positive; where none has one, a zero that still carries a graph.
    """
    similarity_EAP = unit(anchors_EAD) @ unit(pool_EPD).transpose(-1, -2) / temperature
    # The lowest finite number instead of -inf: an anchor without candidates then stays finite, and is masked out below.
    masked_EAP = similarity_EAP.masked_fill(~candidates_AP, torch.finfo(similarity_EAP.dtype).min)
    log_share_EAP = similarity_EAP - masked_EAP.logsumexp(dim=-1, keepdim=True)
    num_positives_A = positives_AP.sum(dim=-1)
    has_positive_A = num_positives_A > 0
    share_A = (num_positives_A.clamp(min=1) * has_positive_A.sum().clamp(min=1)).unsqueeze(-1)
    weight_AP = positives_AP.to(log_share_EAP.dtype) / share_A
    return -(log_share_EAP.masked_fill(~positives_AP, 0.0) * weight_AP).sum(dim=(-2, -1))
