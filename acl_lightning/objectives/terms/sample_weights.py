"""Weights of the samples in the cross-entropy of every exit, by where the samples would leave."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor

from acl_lightning.errors import UserError


class Certainty(Protocol):
    """Certainty of every exit, as the exit criteria of `acl_lightning.exits` define it."""

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B), a function of the exit logits."""


def leave_probabilities(certainty_EB: Tensor, threshold: float, softness: float) -> tuple[Tensor, Tensor]:
    r"""Return the probabilities that a sample reaches every exit, and that it leaves there: (E, B) each.

    .. math:: q_m = \sigma((c_m - t) / s), \quad q_E = 1, \qquad
              \mathrm{reach}_m = \prod_{j < m} (1 - q_j), \quad \mathrm{leave}_m = q_m \, \mathrm{reach}_m

    The last exit keeps all samples that reach it, so the probabilities to leave sum to 1. For s -> 0 a sample leaves at
    the first exit whose certainty reaches the threshold, as at inference. The formula is our reading of the idea of
    COSEE (He et al., AAAI 2025).

    Args:
        certainty_EB: Certainty c of every exit.
        threshold: Threshold t.
        softness: Width s > 0 of the transition, in units of the certainty.
    """
    leaves_EB = torch.sigmoid((certainty_EB - threshold) / softness)
    stays_EB = (1 - leaves_EB)[:-1].cumprod(dim=0)
    reach_EB = torch.cat([torch.ones_like(leaves_EB[:1]), stays_EB])
    return reach_EB, torch.cat([(leaves_EB * reach_EB)[:-1], reach_EB[-1:]])


class SampleWeights(ABC):
    r"""Weights of the samples at every exit, with mean 1 over the batch.

    .. math:: w_{mb} = (1 - u) \frac{a_{mb}}{\frac{1}{B} \sum_i a_{mi}} + u

    with a the probability that the subclass selects. The mean of 1 at every exit keeps the scale of the loss, and the
    weights of the exits decide how much an exit counts. An exit that no sample reaches has equal weights. The form is
    our reading; COSEE (He et al., AAAI 2025) also weights the loss of every exit by where samples are likely to leave.

    Args:
        threshold: Threshold of the criterion.
        softness: Width of the transition between leaving and staying, in units of the certainty.
        uniform_share: Share u in [0, 1] of equal weights, so that no sample is lost; 1 is the plain mean.
        criterion: Exit criterion that is a function of the exit logits. Default (None): `1 - H(p) / ln C`, as
            `acl_lightning.exits.Entropy`.

    Raises:
        UserError: A setting is out of range. When called: the criterion does not return a certainty per exit and
            sample.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        softness: float = 0.1,
        uniform_share: float = 0.5,
        criterion: Certainty | None = None,
    ) -> None:
        if not math.isfinite(threshold):
            raise UserError("a finite threshold", f"{threshold}", "Set threshold to 0.5 (the default).")
        if not (math.isfinite(softness) and softness > 0):
            raise UserError("a softness > 0", f"{softness}", "Set softness to 0.1 (the default).")
        if not 0 <= uniform_share <= 1:
            raise UserError(
                "a uniform_share in [0, 1]", f"{uniform_share}", "Set uniform_share to 0.5, or to 1 for equal weights."
            )
        self.threshold = threshold
        self.softness = softness
        self.uniform_share = uniform_share
        self.criterion = criterion

    @torch.no_grad()
    def __call__(self, logits_EBC: Tensor) -> Tensor:
        """Return the weights (E, B), without a gradient."""
        certainty_EB = self._certainty(logits_EBC)
        selected_EB = self.select(*leave_probabilities(certainty_EB, self.threshold, self.softness))
        mean_E1 = selected_EB.mean(dim=1, keepdim=True)
        reached_E1 = mean_E1 > torch.finfo(mean_E1.dtype).tiny
        relative_EB = torch.where(reached_E1, selected_EB / torch.where(reached_E1, mean_E1, 1.0), 1.0)
        return (1 - self.uniform_share) * relative_EB + self.uniform_share

    @abstractmethod
    def select(self, reach_EB: Tensor, leave_EB: Tensor) -> Tensor:
        """Return the probability by which samples are weighted."""

    def _certainty(self, logits_EBC: Tensor) -> Tensor:
        if self.criterion is None:
            log_p_EBC = logits_EBC.log_softmax(dim=-1)
            entropy_EB = -(log_p_EBC.exp() * log_p_EBC).sum(dim=-1)
            return 1 - entropy_EB / math.log(logits_EBC.shape[-1])
        certainty_EB = self.criterion.certainty(logits_EBC)
        if certainty_EB.shape != logits_EBC.shape[:2]:
            raise UserError(
                "a criterion that is a function of the exit logits",
                type(self.criterion).__name__,
                "Set criterion to null, or to acl_lightning.exits.Confidence.",
            )
        return certainty_EB.to(logits_EBC.dtype)


class LeaveWeights(SampleWeights):
    """Weights by the probability that the sample leaves at the exit: each exit trains on the samples that it answers.

    See `SampleWeights` for the arguments.
    """

    def select(self, reach_EB: Tensor, leave_EB: Tensor) -> Tensor:
        """Return the probability to leave."""
        return leave_EB


class ReachWeights(SampleWeights):
    """Weights by the probability that the sample reaches the exit: deep exits train on the difficult samples.

    The first exit has equal weights. Boosted early exits (BoostedBERT) follow the same idea. See `SampleWeights` for
    the arguments.
    """

    def select(self, reach_EB: Tensor, leave_EB: Tensor) -> Tensor:
        """Return the probability to reach the exit."""
        return reach_EB
