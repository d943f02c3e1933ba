"""What the criteria that read an exit's class distribution have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion

#: The largest float32 below 1.
BELOW_ONE = 1.0 - 2.0**-24

#: Thresholds 0.9 ... 0.999999, evenly spaced in the logarithm of the distance to 1: trained exits are mostly very
#: sure, so an even grid would put nearly all of its points where no sample is.
NEAR_ONE = [round(1.0 - 10.0 ** (-tenth / 10), 8) for tenth in range(10, 61)]

#: 97 thresholds: 0 to 0.88 by 0.02, 0.9 to 0.999999 by equal ratios of the distance to 1, and 1.
PROBABILITIES = [round(0.02 * step, 2) for step in range(45)] + NEAR_ONE + [1.0]


class BoundedCriterion(Criterion):
    """A certainty in [0, 1).

    A softmax and a sigmoid never reach 1, but their float32 rounding does; the certainty is therefore held below 1, and
    the threshold 1 means "never leave early" exactly. What is not finite (a diverged exit) gives -inf: nobody leaves on
    it.
    """

    def thresholds(self, num_exits: int) -> list[float]:
        """`PROBABILITIES`, 97 values, dense towards 1."""
        return list(PROBABILITIES)

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless 0 <= threshold <= 1."""
        if not 0.0 <= threshold <= 1.0:
            raise UserError(
                f"a threshold of {self.name} between 0 (leave at the first exit) and 1 (never leave early)",
                f"{threshold}",
                "Choose one from exit_sweep.csv.",
            )


class DistributionCriterion(BoundedCriterion):
    """A certainty in [0, 1) computed from softmax(logits) of the exit itself, in float32 whatever the logits are."""

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Certainties (E, B) in [0, 1), or -inf where a logit is not finite.

        Raises:
            UserError: C = 1, a regression has no class distribution.
        """
        certainty_EB = self.of_distribution(log_probabilities(logits_EBC, self.name)).clamp(0.0, BELOW_ONE)
        return certainty_EB.masked_fill(~logits_EBC.isfinite().all(dim=-1), -torch.inf)

    @abstractmethod
    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """Certainty (E, B) of the distributions whose logarithms (float32) are given."""


def log_probabilities(logits_EBC: Tensor, name: str) -> Tensor:
    """`log softmax(logits)` in float32.

    Raises:
        UserError: C = 1, a regression has no class distribution for the criterion `name` to read.
    """
    if logits_EBC.shape[-1] < 2:
        raise UserError(
            f"at least 2 classes for the criterion {name!r}",
            "a regression (1 output)",
            "Use the criterion patience, which compares the values of consecutive exits.",
        )
    return logits_EBC.float().log_softmax(dim=-1)
