"""Leave when the class distribution is peaked enough."""

from __future__ import annotations

import math

from torch import Tensor

from acl_lightning.exits.criteria.distribution import NEAR_ONE, DistributionCriterion


class Entropy(DistributionCriterion):
    """Normalised negentropy: `certainty = 1 - H(p) / ln C`, with H(p) = -sum_c p_c ln p_c in nats.

    0 for the uniform distribution, towards 1 for a one-hot one. Two scales are in print: FastBERT leaves when
    H / ln C is below its bound, which is `1 - threshold` here; DeeBERT leaves when H in nats is below its bound, which
    is `(1 - threshold) * ln C` here. So for C = 2 the threshold 0.9 is FastBERT's 0.1 and DeeBERT's 0.069.

    >>> import torch
    >>> Entropy().certainty(torch.tensor([[[0.0, 0.0]], [[0.0, 2.0]]]))
    tensor([[0.0000],
            [0.4729]])
    """

    name = "entropy"

    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """One minus the entropy relative to the uniform distribution's."""
        return 1.0 - normalised_entropy(log_probabilities_EBC)

    def thresholds(self, num_exits: int) -> list[float]:
        """103 values, dense at both ends: an exit that gives its class 0.55 of 2 has a certainty of 0.007 only."""
        near_zero = [round(10.0 ** (-tenth / 10), 8) for tenth in range(40, 10, -1)]
        return [0.0, *near_zero, *(round(0.04 * step, 2) for step in range(3, 23)), *NEAR_ONE, 1.0]


def normalised_entropy(log_probabilities_EBC: Tensor) -> Tensor:
    """`H(p) / ln C`, (E, B): 1 for the uniform distribution, 0 for a one-hot one."""
    # exp(-x) * x tends to 0 where the float32 logarithm is still finite, so no 0 * inf arises here.
    entropy_EB = -(log_probabilities_EBC.exp() * log_probabilities_EBC).sum(dim=-1)
    return entropy_EB / math.log(log_probabilities_EBC.shape[-1])
