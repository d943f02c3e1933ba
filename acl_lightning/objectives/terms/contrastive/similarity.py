"""Cosine similarity, and the masked contrastive loss behind all contrastive terms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acl_lightning.errors import UserError

#: Smallest length of a vector with a direction. A shorter vector is mapped to zero and receives no gradient.
MIN_LENGTH = 1e-12


def check_temperature(temperature: float, usual: float = 0.3) -> float:
    """Return `temperature` if it is finite and positive.

    Args:
        temperature: Value of the setting.
        usual: Value that the error message recommends.

    Raises:
        UserError: The temperature is not finite or not positive.
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise UserError("a temperature > 0", f"{temperature}", f"Set temperature to {usual:g} (the default).")
    return temperature


def unit(vectors: Tensor) -> Tensor:
    """Divide vectors by their Euclidean length along the last dimension; vectors shorter than 1e-12 become zero.

    Such vectors have a zero gradient; with a clamped denominator it would be of the order of 1e12.
    """
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    has_direction = length > MIN_LENGTH
    return torch.where(has_direction, vectors / torch.where(has_direction, length, 1.0), vectors.new_zeros(()))


def contrastive_loss(
    anchors_EAD: Tensor, pool_EPD: Tensor, positives_AP: Tensor, candidates_AP: Tensor, temperature: float
) -> Tensor:
    r"""Return the mean over anchors of the negative log probability of their positives among their candidates.

    .. math:: \ell_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log
              \frac{\exp(z_i \cdot z_p / \tau)}{\sum_{a \in A(i)} \exp(z_i \cdot z_a / \tau)}

    with z the unit vectors. Source: Khosla et al. 2020 and Gunel et al. 2021 (arXiv 2011.01403), where P(i) and A(i)
    are the other samples of the same class and all other samples; here both are masks.

    Args:
        anchors_EAD: Anchors of every exit, of any length.
        pool_EPD: Vectors that anchors are compared with.
        positives_AP: Mask of P(i), bool; must be a subset of the candidates.
        candidates_AP: Mask of A(i), bool.
        temperature: Temperature tau > 0.

    Returns:
        Mean over the anchors that have a positive, (E,); a zero with a graph if there is no such anchor.
    """
    similarity_EAP = unit(anchors_EAD) @ unit(pool_EPD).transpose(-1, -2) / temperature
    # The lowest finite number instead of -inf keeps anchors without candidates finite; they are masked out below.
    masked_EAP = similarity_EAP.masked_fill(~candidates_AP, torch.finfo(similarity_EAP.dtype).min)
    log_share_EAP = similarity_EAP - masked_EAP.logsumexp(dim=-1, keepdim=True)
    num_positives_A = positives_AP.sum(dim=-1)
    has_positive_A = num_positives_A > 0
    share_A = (num_positives_A.clamp(min=1) * has_positive_A.sum().clamp(min=1)).unsqueeze(-1)
    weight_AP = positives_AP.to(log_share_EAP.dtype) / share_A
    return -(log_share_EAP.masked_fill(~positives_AP, 0.0) * weight_AP).sum(dim=(-2, -1))
