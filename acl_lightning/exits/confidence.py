"""Leave when the predicted class is probable enough."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.exits.distribution import NEAR_ONE, DistributionCriterion


class Confidence(DistributionCriterion):
    """Maximum probability: `certainty[e, b] = max_c softmax(logits[e, b])[c]`, between 1/C and 1.

    Thresholds up to 1/C leave at the first exit. The classic baseline (softmax response); no paper's own.

    >>> import torch
    >>> Confidence().certainty(torch.tensor([[[0.0, 0.0]], [[0.0, 2.0]]]))
    tensor([[0.5000],
            [0.8808]])
    """

    name = "confidence"

    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """The largest probability."""
        return log_probabilities_EBC.amax(dim=-1).exp()

    def thresholds(self, num_exits: int) -> list[float]:
        """97 values: 0 to 0.88 by 0.02, 0.9 to 0.999999 by equal ratios of the distance to 1, and 1."""
        return [round(0.02 * step, 2) for step in range(45)] + NEAR_ONE + [1.0]
