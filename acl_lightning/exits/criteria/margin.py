"""Leave when the predicted class is far enough ahead of the second."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.exits.criteria.distribution import DistributionCriterion


class Margin(DistributionCriterion):
    """Margin of the two likeliest classes: `certainty = p(1) - p(2)`, between 0 (a tie) and 1.

    For C = 2 it is twice the confidence minus 1, so both criteria order the samples alike. With more classes a margin
    tells "one of two" from "one of many", which the confidence does not. The margin of active learning (Scheffer et
    al., IDA 2001); as an exit criterion no paper's own.

    >>> import torch
    >>> Margin().certainty(torch.tensor([[[0.0, 0.0, -9.0]], [[0.0, 2.0, -9.0]]]))
    tensor([[0.0000],
            [0.7616]])
    """

    name = "margin"

    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """The largest probability minus the second largest."""
        first_EB, second_EB = log_probabilities_EBC.topk(2, dim=-1).values.exp().unbind(dim=-1)
        return first_EB - second_EB
