"""Exit when enough consecutive exits agree in their prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.criteria.consecutive.base import ConsecutiveCriterion

#: Differences that a sweep over a regression measures, in units of the label.
DELTAS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.8]


class Patience(ConsecutiveCriterion):
    """PABEE: number of consecutive exits, up to this exit, that agree in their prediction, minus 1.

    With patience p (the threshold) the earliest exit is number p + 1. In a classification two exits agree when their
    argmax is the same; in a regression when their values differ by less than `delta` (PABEE's rule; the default values
    are ours). An exit whose logits are not finite agrees with no other exit, and no sample leaves there. Source: Zhou
    et al., "BERT Loses Patience: Fast and Robust Inference with Early Exit", NeurIPS 2020.

    >>> import torch
    >>> logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]).unsqueeze(1)
    >>> Patience().certainty(logits).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """

    name = "patience"
    supports_regression: ClassVar[bool] = True
    first_count = 2

    def __init__(self, delta: float | None = None) -> None:
        """Set the agreement of a regression.

        Args:
            delta: Two values agree when |difference| < delta, in units of the label (STS-B: 0 to 5). None: 0.2, and a
                sweep over a regression measures all of `DELTAS`.

        Raises:
            UserError: `delta` is not positive.
        """
        if delta is not None and not delta > 0:
            raise UserError("a positive delta of patience", f"{delta}", "Set delta to 0.2 for labels from 0 to 5.")
        self.delta = delta

    def variants(self, num_classes: int) -> Sequence[Criterion]:
        """Return this criterion; for a regression one criterion per value of `DELTAS` if `delta` is None."""
        return [Patience(delta) for delta in DELTAS] if num_classes == 1 and self.delta is None else [self]

    def holds(self, logits_EBC: Tensor) -> Tensor:
        """Return where the prediction of an exit is that of the exit before."""
        agrees_EB = torch.zeros(logits_EBC.shape[:2], dtype=torch.bool, device=logits_EBC.device)
        if logits_EBC.shape[-1] == 1:
            delta = 0.2 if self.delta is None else self.delta
            agrees_EB[1:] = logits_EBC.squeeze(-1).float().diff(dim=0).abs() < delta
        else:
            agrees_EB[1:] = logits_EBC.argmax(dim=-1).diff(dim=0) == 0
        agrees_EB[1:] &= logits_EBC[:-1].isfinite().all(dim=-1)
        return agrees_EB
