"""What the criteria that read one exit's class distribution have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criterion import Criterion

#: The largest float32 below 1.
BELOW_ONE = 1.0 - 2.0**-24

#: Thresholds 0.9 ... 0.999999, evenly spaced in the logarithm of the distance to 1: trained exits are mostly very
#: sure, so an even grid would put nearly all of its points where no sample is.
NEAR_ONE = [round(1.0 - 10.0 ** (-tenth / 10), 8) for tenth in range(10, 61)]


class DistributionCriterion(Criterion):
    """A certainty in [0, 1) computed from softmax(logits) of the exit itself.

    Computed in float32 whatever the dtype of the logits. A softmax never reaches 1, but its float32 rounding does; the
    certainty is therefore held below 1, and the threshold 1 means "never leave early" exactly. Logits that are not
    finite (a diverged exit) give -inf: nobody leaves on them.
    """

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Certainties (E, B) in [0, 1), or -inf where a logit is not finite.

        Raises:
            UserError: C = 1, a regression has no class distribution.
        """
        if logits_EBC.shape[-1] < 2:
            raise UserError(
                f"at least 2 classes for the criterion {self.name!r}",
                "a regression (1 output)",
                "Use the criterion patience, which compares the values of consecutive exits.",
            )
        finite_EB = logits_EBC.isfinite().all(dim=-1)
        log_probabilities_EBC = logits_EBC.float().log_softmax(dim=-1)
        certainty_EB = self.of_distribution(log_probabilities_EBC).clamp(0.0, BELOW_ONE)
        return certainty_EB.masked_fill(~finite_EB, -torch.inf)

    @abstractmethod
    def of_distribution(self, log_probabilities_EBC: Tensor) -> Tensor:
        """Certainty (E, B) of the distributions whose logarithms (float32) are given."""

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless 0 <= threshold <= 1."""
        if not 0.0 <= threshold <= 1.0:
            raise UserError(
                f"a threshold of {self.name} between 0 (leave at the first exit) and 1 (never leave early)",
                f"{threshold}",
                "Choose one from exit_sweep.csv.",
            )
