"""Leave when the predicted class is probable enough."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.exits.criteria.distribution import DistributionCriterion


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
