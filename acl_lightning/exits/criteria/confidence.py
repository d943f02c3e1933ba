"""Exit by the probability of the predicted class."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.exits.criteria.distribution import DistributionCriterion


class Confidence(DistributionCriterion):
    """Maximum probability: `certainty[e, b] = max_c softmax(logits[e, b])[c]`, between 1/C and 1.

    At thresholds up to 1/C all samples leave at the first exit. Also known as softmax response.

    >>> import torch
    >>> Confidence().certainty(torch.tensor([[[0.0, 0.0]], [[0.0, 2.0]]]))
    tensor([[0.5000],
            [0.8808]])
    """

    name = "confidence"

    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """Return the largest probability."""
        return log_probabilities_EBC.amax(dim=-1).exp()
