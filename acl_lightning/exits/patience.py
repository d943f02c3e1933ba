"""Leave when enough consecutive exits agree."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.criterion import Criterion


class Patience(Criterion):
    """PABEE: the number of consecutive exits, ending here, that agree in their prediction, minus 1.

    With patience p (the threshold) the earliest exit is number p + 1. Classification: two exits agree when their
    argmax is the same. Regression: when their values differ by less than `delta` (PABEE's rule; the value is ours).
    An exit whose logits are not finite agrees with none and is never left at.

    >>> import torch
    >>> logits = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]).unsqueeze(1)
    >>> Patience().certainty(logits).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """

    name = "patience"
    supports_regression: ClassVar[bool] = True

    def __init__(self, delta: float = 0.2) -> None:
        """Set the agreement of a regression.

        Args:
            delta: two values agree when |difference| < delta, in units of the label (STS-B: 0 to 5).

        Raises:
            UserError: delta is not positive.
        """
        if not delta > 0:
            raise UserError("a positive delta of patience", f"{delta}", "STS-B's labels run from 0 to 5; try 0.2.")
        self.delta = delta

    def certainty(self, logits_EBC: Tensor) -> Tensor:
        """Certainties (E, B): whole numbers 0 ... e at the exit with index e, or -inf where a logit is not finite."""
        finite_EB = logits_EBC.isfinite().all(dim=-1)
        agrees_EB = self._agrees_with_previous(logits_EBC) & finite_EB
        agrees_EB[1:] &= finite_EB[:-1]
        count_B = torch.zeros(logits_EBC.shape[1], device=logits_EBC.device)
        counts = []
        for agrees_B in agrees_EB:
            count_B = (count_B + 1) * agrees_B
            counts.append(count_B)
        return torch.stack(counts).masked_fill(~finite_EB, -torch.inf)

    def _agrees_with_previous(self, logits_EBC: Tensor) -> Tensor:
        agrees_EB = torch.zeros(logits_EBC.shape[:2], dtype=torch.bool, device=logits_EBC.device)
        if logits_EBC.shape[-1] == 1:
            agrees_EB[1:] = logits_EBC.squeeze(-1).float().diff(dim=0).abs() < self.delta
        else:
            agrees_EB[1:] = logits_EBC.argmax(dim=-1).diff(dim=0) == 0
        return agrees_EB

    def thresholds(self, num_exits: int) -> list[float]:
        """1 ... E - 1. The last is "never leave early": its earliest exit is the last one."""
        return [float(patience) for patience in range(1, max(num_exits, 2))]

    def check_threshold(self, threshold: float) -> None:
        """Raise `UserError` unless `threshold` is a whole number of at least 1."""
        if threshold < 1 or not float(threshold).is_integer():
            raise UserError(
                "a patience that is a whole number, 1 or more",
                f"{threshold}",
                "Patience p leaves at exit p + 1 on.",
            )
