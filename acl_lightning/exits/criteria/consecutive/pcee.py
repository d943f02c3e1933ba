"""Exit when enough consecutive exits have a low entropy, whatever they predict."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.consecutive.base import ConsecutiveCriterion
from acl_lightning.exits.criteria.distribution import log_probabilities
from acl_lightning.exits.criteria.entropy import normalised_entropy

#: Bounds that a sweep measures. All distributions but the uniform are below the bound 1. Six exits give 19 x 6 points.
BOUNDS = [0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 0.99, 0.999, 1.0]


class PCEE(ConsecutiveCriterion):
    """PCEE-BERT: number of consecutive exits, up to this exit, whose normalised entropy is below a bound.

    An exit counts when `H(p) / ln C < bound`; the predictions need not agree. With patience p (the threshold) the
    earliest exit is number p; p = 1 is the entropy criterion at `1 - bound`, except for equality. The bound is on
    FastBERT's scale, from 0 to 1; divide a bound in nats, as in DeeBERT, by ln C. Source: Zhang et al., "PCEE-BERT:
    Accelerating BERT Inference via Patient and Confident Early Exiting", Findings of NAACL 2022. The values of the
    bounds are ours.

    >>> import torch
    >>> logits = torch.tensor([[9.0, 0.0], [0.0, 0.1], [0.0, 9.0], [9.0, 0.0]]).unsqueeze(1)
    >>> PCEE(bound=0.2).certainty(logits).flatten().tolist()
    [1.0, 0.0, 1.0, 2.0]
    """

    name = "pcee"
    first_count = 1

    def __init__(self, bound: float | None = None) -> None:
        """Set the bound of the entropy.

        Args:
            bound: Bound of the normalised entropy, in (0, 1]. None: 0.2, and a sweep measures all of `BOUNDS`.

        Raises:
            UserError: The bound is out of range.
        """
        if bound is not None and not 0 < bound <= 1:
            raise UserError(
                "a bound of pcee's normalised entropy in (0, 1]", f"{bound}", "Set bound to 0.2, for example."
            )
        self.bound = bound

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Return this criterion, or one criterion per value of `BOUNDS` if the bound is None."""
        return [PCEE(bound) for bound in BOUNDS] if self.bound is None else [self]

    def holds(self, logits_EBC: Tensor) -> Tensor:
        """Return where the entropy of an exit is below the bound.

        Raises:
            UserError: C = 1: a regression has no class distribution.
        """
        bound = 0.2 if self.bound is None else self.bound
        return normalised_entropy(log_probabilities(logits_EBC, self.name)) < bound
