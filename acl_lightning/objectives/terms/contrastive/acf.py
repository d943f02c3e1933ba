"""ACF: label embeddings in an InfoNCE loss, and a regulariser against anisotropy (Zhu et al., ICASSP 2023)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.objectives.terms.base import Term
from acl_lightning.objectives.terms.contrastive.acl_embed import acl_embed
from acl_lightning.objectives.terms.contrastive.similarity import MIN_LENGTH, check_temperature
from acl_lightning.outputs import ExitOutputs


def correlation_penalty(embeddings_EBD: Tensor) -> Tensor:
    r"""Return the mean squared correlation between different features over the batch, for every exit.

    .. math:: \frac{1}{d (d - 1)} \sum_{i \ne j} R_{ij}^2, \qquad R = Z^\top Z

    Column i of Z is feature i, centred over the batch and divided by its length, so R is the correlation matrix. The
    formula is our reading: the text of the paper available to us names a correlation-based regulariser without formula.

    R has shape D x D. If the batch is smaller than the width it is not computed, because the Frobenius norms of `Z^T Z`
    and `Z Z^T` are equal.

    A feature that is constant over the batch has no correlation and is left out; d counts the others. The result does
    not change when a feature is shifted or scaled, but it does when the representation is rotated. With two samples the
    correlation of any two features is 1 or -1, so the penalty is informative for three samples or more.

    Args:
        embeddings_EBD: Representations at every exit.

    Returns:
        Penalties (E,) in [0, 1]; a zero with a graph if fewer than two features vary, as with a single sample.
    """
    centred_EBD = embeddings_EBD - embeddings_EBD.mean(dim=1, keepdim=True)
    length_E1D = torch.linalg.vector_norm(centred_EBD, dim=1, keepdim=True)
    # A constant feature differs from its mean by rounding only, which is no variation.
    rounding_E1D = (
        10 * torch.finfo(length_E1D.dtype).eps * torch.linalg.vector_norm(embeddings_EBD, dim=1, keepdim=True)
    )
    varies_E1D = (length_E1D > rounding_E1D) & (length_E1D > MIN_LENGTH)
    zero = centred_EBD.new_zeros(())
    z_EBD = torch.where(varies_E1D, centred_EBD / torch.where(varies_E1D, length_E1D, 1.0), zero)
    tall = z_EBD.shape[1] >= z_EBD.shape[2]
    gram = z_EBD.transpose(1, 2) @ z_EBD if tall else z_EBD @ z_EBD.transpose(1, 2)
    # The diagonal is 1 up to rounding; subtracting the computed values cancels the rounding, also in the gradient.
    diagonal_ED = z_EBD.square().sum(dim=1)
    off_diagonal_E = (gram.square().sum(dim=(1, 2)) - diagonal_ED.square().sum(dim=1)).clamp(min=0)
    num_varying_E = varies_E1D.sum(dim=(1, 2))
    penalty_E: Tensor = off_diagonal_E / (num_varying_E * (num_varying_E - 1)).clamp(min=1)
    return penalty_E


class ACF(Term):
    r"""`InfoNCE + rho * correlation_penalty` at every exit.

    In the InfoNCE loss every sample is an anchor, and its label embedding and the samples of its class are positives in
    a shared pool: this is `acl_embed` with samples as the only anchors. Both parts and their sum are our reading.

    Args:
        temperature: Temperature tau > 0.
        correlation_weight: Weight rho >= 0 of the correlation penalty; 0 switches it off.

    Raises:
        UserError: The temperature is not positive, or rho is negative or not finite.
    """

    name = "acf"

    def __init__(self, temperature: float = 0.3, correlation_weight: float = 0.1) -> None:
        super().__init__()
        if not (math.isfinite(correlation_weight) and correlation_weight >= 0):
            raise UserError(
                "a correlation_weight (rho) >= 0",
                f"{correlation_weight}",
                "Set correlation_weight to 0.1 (the default), or to 0 to switch the penalty off.",
            )
        self.temperature = check_temperature(temperature)
        self.correlation_weight = correlation_weight
        self.min_samples = 2 if correlation_weight > 0 else 1

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,): nats plus rho times a number in [0, 1]."""
        embeddings_EBD = outputs.embeddings_EBD
        contrast_E = acl_embed(
            embeddings_EBD, labels_B, outputs.label_embeddings_ECD, self.temperature, label_anchors=False
        )
        if self.correlation_weight == 0:
            return contrast_E
        return contrast_E + self.correlation_weight * correlation_penalty(embeddings_EBD)
