"""Cross-entropy, and its counterpart for regression: the protected terms."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from acl_lightning.objectives.base import Term
from acl_lightning.outputs import ExitOutputs


class CrossEntropy(Term):
    """Mean over the batch of `-log softmax(logits)[label]`, at every exit."""

    name = "cross_entropy"

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """(E,) in nats."""
        logits_EBC = outputs.logits_EBC
        labels_EB = labels_B.expand(logits_EBC.shape[0], -1)
        losses = F.cross_entropy(logits_EBC.flatten(0, 1), labels_EB.flatten(), reduction="none")
        return losses.view_as(labels_EB).mean(dim=1)


class SquaredError(Term):
    """Mean over the batch of `(output - label)^2`, at every exit: the protected term of a regression (STS-B)."""

    name = "squared_error"
    needs_classes = False
    needs_values = True

    def per_exit(self, outputs: ExitOutputs, labels_B: Tensor) -> Tensor:
        """(E,) in squared label units."""
        return (outputs.logits_EBC.squeeze(-1) - labels_B).square().mean(dim=1)
