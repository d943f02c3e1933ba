"""Exit by the entropy of the class distribution."""

from __future__ import annotations

import math

from torch import Tensor

from acl_lightning.exits.criteria.distribution import NEAR_ONE, DistributionCriterion


class Entropy(DistributionCriterion):
    """Normalised negentropy: `certainty = 1 - H(p) / ln C`, with H(p) = -sum_c p_c ln p_c in nats.

    It is 0 for the uniform distribution and tends to 1 for a one-hot distribution. Two scales are in use: samples leave
    FastBERT when H / ln C is below its threshold, which is `1 - threshold` here; samples leave DeeBERT when H in nats
    is below its threshold, which is `(1 - threshold) * ln C` here. So for C = 2 the threshold 0.9 is FastBERT's 0.1 and
    DeeBERT's 0.069.

    >>> import torch
    >>> Entropy().certainty(torch.tensor([[[0.0, 0.0]], [[0.0, 2.0]]]))
    tensor([[0.0000],
            [0.4729]])
    """

    name = "entropy"

    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """Return 1 minus the normalised entropy."""
        return 1.0 - normalised_entropy(log_probabilities_EBC)

    def thresholds(self, num_exits: int) -> list[float]:
        """Return 103 values, dense at both ends: for C = 2 a probability of 0.55 has a certainty of only 0.007."""
        near_zero = [round(10.0 ** (-tenth / 10), 8) for tenth in range(40, 10, -1)]
        return [0.0, *near_zero, *(round(0.04 * step, 2) for step in range(3, 23)), *NEAR_ONE, 1.0]


def normalised_entropy(log_probabilities_EBC: Tensor) -> Tensor:
    """Return `H(p) / ln C`, (E, B): 1 for the uniform distribution, 0 for a one-hot distribution."""
    # exp(-x) * x tends to 0 where the float32 logarithm is still finite, so no 0 * inf arises here.
    entropy_EB = -(log_probabilities_EBC.exp() * log_probabilities_EBC).sum(dim=-1)
    return entropy_EB / math.log(log_probabilities_EBC.shape[-1])
