"""Base classes of the criteria that read the class distribution of an exit."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion

#: The largest float32 below 1.
BELOW_ONE = 1.0 - 2.0**-24

#: Thresholds 0.9 ... 0.999999, evenly spaced in the logarithm of the distance to 1: most probabilities of trained exits
#: are close to 1, so an even grid would put nearly all of its points where no sample is.
NEAR_ONE = [round(1.0 - 10.0 ** (-tenth / 10), 8) for tenth in range(10, 61)]

#: 97 thresholds: 0 to 0.88 by 0.02, 0.9 to 0.999999 by equal ratios of the distance to 1, and 1.
PROBABILITIES = [round(0.02 * step, 2) for step in range(45)] + NEAR_ONE + [1.0]


class BoundedCriterion(Criterion):
    """A criterion whose certainty lies in [0, 1).

    A softmax and a sigmoid never reach 1, but their float32 rounding does. The certainty is therefore kept below 1, and
    the threshold 1 means "never leave early" exactly. Logits that are not finite (a diverged exit) give -inf: no sample
    leaves there.
    """

    def thresholds(self, num_exits: int) -> list[float]:
        """Return `PROBABILITIES`, 97 values, dense towards 1."""
        return list(PROBABILITIES)

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless 0 <= threshold <= 1."""
        if not 0.0 <= threshold <= 1.0:
            raise UserError(
                f"a threshold of {self.name} between 0 (leave at the first exit) and 1 (never leave early)",
                f"{threshold}",
                "Set the threshold to one of exit_sweep.csv, for example 0.5.",
            )


class DistributionCriterion(BoundedCriterion):
    """A criterion in [0, 1) that reads softmax(logits) of the exit itself, computed in float32."""

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Return certainties (E, B) in [0, 1), or -inf where a logit is not finite.

        Raises:
            UserError: C = 1: a regression has no class distribution.
        """
        certainty_EB = self.of_distribution(log_probabilities(logits_EBC, self.name)).clamp(0.0, BELOW_ONE)
        return certainty_EB.masked_fill(~logits_EBC.isfinite().all(dim=-1), -torch.inf)

    @abstractmethod
    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """Return the certainty (E, B) of distributions, from their logarithms in float32."""


def log_probabilities(logits_EBC: Tensor, name: str) -> Tensor:
    """Return `log softmax(logits)` in float32.

    Args:
        logits_EBC: Exit logits.
        name: Name of the criterion, for the error.

    Raises:
        UserError: C = 1: a regression has no class distribution.
    """
    if logits_EBC.shape[-1] < 2:
        raise UserError(
            f"at least 2 classes for the criterion {name!r}",
            "a regression (1 output)",
            "Use the criterion patience, which compares the values of consecutive exits.",
        )
    return logits_EBC.float().log_softmax(dim=-1)
