"""The one record that travels between encoders, objectives and exits.

Shape legend, used as suffix everywhere: E exits, B batch, D width of the representation, C classes (1 for regression),
K loss terms, N parameters, T thresholds, L encoder layers, S tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ExitOutputs:
    """What every exit says about a batch.

    Attributes:
        embeddings_EBD: the vector that the linear classifier of exit e sees for sample b (after pooler and dropout).
        logits_EBC: the classifier's output; C = 1 for regression.
        label_embeddings_ECD: one vector per class and exit; the classifier's own weight rows when tied, a table of
            their own when separate.
    """

    embeddings_EBD: Tensor
    logits_EBC: Tensor
    label_embeddings_ECD: Tensor

    @property
    def num_exits(self) -> int:
        """Number of exits E."""
        return self.logits_EBC.shape[0]

    def detached(self) -> ExitOutputs:
        """The same values without a graph."""
        return ExitOutputs(self.embeddings_EBD.detach(), self.logits_EBC.detach(), self.label_embeddings_ECD.detach())


def predictions(logits: Tensor) -> Tensor:
    """The answer of logits (..., C) -> (...): the class index, or for regression (C = 1) the value itself."""
    return logits.squeeze(-1) if logits.shape[-1] == 1 else logits.argmax(dim=-1)
