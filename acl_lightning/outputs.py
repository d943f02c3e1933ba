"""The one record that travels between encoders, objectives and exits.

Shape legend, used as suffix everywhere: E exits, B batch, D width of the representation, C classes (1 for regression),
K loss terms, N parameters, T thresholds, L encoder layers, S tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ExitOutputs:
    """What every exit says about a batch.

    Attributes:
        embeddings_EBD: the vector that the linear classifier of exit e sees for sample b (after pooler and dropout).
        logits_EBC: the classifier's output; C = 1 for regression.
        label_embeddings_ECD: one vector per class and exit; the classifier's own weight rows when tied, a table of
            their own when separate.
        gates_EB: logit of how sure the model is that the exit's answer is right; None without a learnt gate.
    """

    embeddings_EBD: Tensor
    logits_EBC: Tensor
    label_embeddings_ECD: Tensor
    gates_EB: Tensor | None = None

    @property
    def num_exits(self) -> int:
        """Number of exits E."""
        return self.logits_EBC.shape[0]

    def map(self, function: Callable[[Tensor], Tensor]) -> ExitOutputs:
        """The record with `function` applied to each of its tensors."""
        return ExitOutputs(
            function(self.embeddings_EBD),
            function(self.logits_EBC),
            function(self.label_embeddings_ECD),
            None if self.gates_EB is None else function(self.gates_EB),
        )

    def at_least_float32(self) -> ExitOutputs:
        """Half precision promoted to float32; float64 stays."""
        return self.map(lambda tensor: tensor.to(torch.promote_types(tensor.dtype, torch.float32)))

    def detached(self) -> ExitOutputs:
        """The same values without a graph."""
        return self.map(Tensor.detach)


def predictions(logits: Tensor) -> Tensor:
    """The answer of logits (..., C) -> (...): the class index, or for regression (C = 1) the value itself."""
    return logits.squeeze(-1) if logits.shape[-1] == 1 else logits.argmax(dim=-1)
