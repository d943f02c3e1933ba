"""Squared error: the protected term of a regression."""

from __future__ import annotations

from torch import Tensor

from acl_lightning.objectives.terms.base import Term
from acl_lightning.outputs import ExitOutputs


class SquaredError(Term):
    """Mean of `(output - label)^2` over the batch, at every exit. For tasks whose labels are numbers, such as STS-B."""

    name = "squared_error"
    needs_classes = False
    needs_values = True

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """Return the loss of every exit, (E,), in squared units of the label."""
        return (outputs.logits_EBC.squeeze(-1) - labels_B).square().mean(dim=1)
