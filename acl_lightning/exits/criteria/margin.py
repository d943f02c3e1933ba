"""Exit by the margin between the two most probable classes."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.exits.criteria.distribution import DistributionCriterion


class Margin(DistributionCriterion):
    """Margin of the two most probable classes: `certainty = p(1) - p(2)`, between 0 (a tie) and 1.

    For C = 2 it is twice the confidence minus 1, so both criteria order the samples alike. The margin is known from
    active learning (Scheffer et al., IDA 2001).

    >>> import torch
    >>> Margin().certainty(torch.tensor([[[0.0, 0.0, -9.0]], [[0.0, 2.0, -9.0]]]))
    tensor([[0.0000],
            [0.7616]])
    """

    name = "margin"

    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """Return the largest probability minus the second largest."""
        first_EB, second_EB = log_probabilities_EBC.topk(2, dim=-1).values.exp().unbind(dim=-1)
        return first_EB - second_EB
