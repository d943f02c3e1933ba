"""Leave when enough consecutive exits have nearly the same class distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.consecutive import ConsecutiveCriterion
from acl_lightning.exits.criteria.distribution import log_probabilities

#: Bounds that a sweep tries: with six exits 20 x 5 points.
BOUNDS = [
    *(1e-5, 3e-5, 1e-4, 3e-4, 0.001, 0.002, 0.004, 0.007, 0.01, 0.02),
    *(0.03, 0.05, 0.08, 0.12, 0.17, 0.25, 0.35, 0.5, 0.7, 0.9),
]


class FPABEE(ConsecutiveCriterion):
    """F-PABEE: as patience, but two exits agree when the divergence of their distributions is under a bound.

    An exit counts when `JS(p[e-1], p[e]) < bound`, with the Jensen-Shannon divergence in bits,
    `JS(p, q) = (KL(p || m) + KL(q || m)) / (2 ln 2)`, `m = (p + q) / 2`: from 0 (the same distribution) to 1 (nothing
    in common). In nats it ends at ln 2: a bound in nats is divided by ln 2 to get ours. With patience p (the threshold)
    the earliest exit is number p + 1. Source: Gao et al., "F-PABEE: Flexible-Patience-Based Early Exiting for
    Single-Label and Multi-Label Text Classification Tasks", ICASSP 2023 (arXiv 2305.11916). The bounds are ours.

    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.5], [0.5, 0.0], [0.0, 9.0], [0.0, 8.0]]).unsqueeze(1)
    >>> FPABEE(bound=0.1).certainty(logits).flatten().tolist()
    [0.0, 1.0, 0.0, 1.0]
    """

    name = "fpabee"
    first_count = 2

    def __init__(self, bound: float | None = None) -> None:
        """Set when two exits agree.

        Args:
            bound: of the divergence in bits, in (0, 1]. None: 0.05, and a sweep tries all of `BOUNDS`.

        Raises:
            UserError: a bound out of range.
        """
        if bound is not None and not 0 < bound <= 1:
            raise UserError("a bound of fpabee's Jensen-Shannon divergence in (0, 1]", f"{bound}", "Try 0.05.")
        self.bound = bound

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Itself, or one criterion per value of `BOUNDS` where the bound was left open."""
        return [FPABEE(bound) for bound in BOUNDS] if self.bound is None else [self]

    def holds(self, logits_EBC: Tensor) -> Tensor:
        """Whether an exit's distribution is near that of the exit before.

        Raises:
            UserError: C = 1, a regression has no class distribution.
        """
        log_p_EBC = log_probabilities(logits_EBC, self.name)
        near_EB = torch.zeros(logits_EBC.shape[:2], dtype=torch.bool, device=logits_EBC.device)
        near_EB[1:] = jensen_shannon(log_p_EBC[:-1], log_p_EBC[1:]) < (0.05 if self.bound is None else self.bound)
        return near_EB


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Jensen-Shannon divergence in bits of distributions (..., C) given by their logarithms: (...), from 0 to 1."""
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    nats = 0.5 * (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(dim=-1)
    return (nats / math.log(2)).clamp(0.0, 1.0)
