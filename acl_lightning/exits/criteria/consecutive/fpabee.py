"""Exit when enough consecutive exits have nearly the same class distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.consecutive.base import ConsecutiveCriterion
from acl_lightning.exits.criteria.distribution import log_probabilities

#: Bounds that a sweep measures: with six exits 20 x 5 points.
BOUNDS = [
    *(1e-5, 3e-5, 1e-4, 3e-4, 0.001, 0.002, 0.004, 0.007, 0.01, 0.02),
    *(0.03, 0.05, 0.08, 0.12, 0.17, 0.25, 0.35, 0.5, 0.7, 0.9),
]


class FPABEE(ConsecutiveCriterion):
    """F-PABEE: number of consecutive exits whose distribution diverges little from that of the exit before.

    An exit counts when `JS(p[e-1], p[e]) < bound`, with the Jensen-Shannon divergence in bits,
    `JS(p, q) = (KL(p || m) + KL(q || m)) / (2 ln 2)`, `m = (p + q) / 2`: from 0 (equal distributions) to 1 (disjoint
    distributions). Divide a bound in nats by ln 2. With patience p (the threshold) the earliest exit is number p + 1.
    Source: Gao et al., "F-PABEE: Flexible-Patience-Based Early Exiting for Single-Label and Multi-Label Text
    Classification Tasks", ICASSP 2023 (arXiv 2305.11916). The values of the bounds are ours.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.5], [0.5, 0.0], [0.0, 9.0], [0.0, 8.0]]).unsqueeze(1)
    >>> FPABEE(bound=0.1).certainty(logits).flatten().tolist()
    [0.0, 1.0, 0.0, 1.0]
    """

    name = "fpabee"
    first_count = 2

    def __init__(self, bound: float | None = None) -> None:
        """Set the bound of the divergence.

        Args:
            bound: Bound of the divergence in bits, in (0, 1]. None: 0.05, and a sweep measures all of `BOUNDS`.

        Raises:
            UserError: The bound is out of range.
        """
        if bound is not None and not 0 < bound <= 1:
            raise UserError(
                "a bound of fpabee's Jensen-Shannon divergence in (0, 1]", f"{bound}", "Set bound to 0.05, for example."
            )
        self.bound = bound

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Return this criterion, or one criterion per value of `BOUNDS` if the bound is None."""
        return [FPABEE(bound) for bound in BOUNDS] if self.bound is None else [self]

    def holds(self, logits_EBC: Tensor) -> Tensor:
        """Return where the distribution of an exit is near that of the exit before.

        Raises:
            UserError: C = 1: a regression has no class distribution.
        """
        log_p_EBC = log_probabilities(logits_EBC, self.name)
        near_EB = torch.zeros(logits_EBC.shape[:2], dtype=torch.bool, device=logits_EBC.device)
        near_EB[1:] = jensen_shannon(log_p_EBC[:-1], log_p_EBC[1:]) < (0.05 if self.bound is None else self.bound)
        return near_EB


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence (...) in bits of distributions (..., C), from their logarithms."""
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    nats = 0.5 * (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(dim=-1)
    return (nats / math.log(2)).clamp(0.0, 1.0)
