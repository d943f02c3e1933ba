"""Outputs of a multi-exit encoder, which objectives and exit criteria read.

Shape legend, used as suffixes in the whole package: E exits, B batch, D width of the representation, C classes (1 for
regression), K loss terms, N parameters, T thresholds, L encoder layers, S tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class ExitOutputs:
    """Outputs of all exits for a batch.

    Attributes:
        embeddings_EBD: Representation of each sample at each exit: the input of its classifier, after pooler and
            dropout.
        logits_EBC: Output of the classifiers; C = 1 for regression.
        label_embeddings_ECD: A vector per exit and class: the weight rows of the classifier if tied, otherwise a
            separate parameter.
        gates_EB: Logit of the predicted probability that the prediction of the exit is correct; None without a learnt
            gate.
        views: Number of views V: forward passes of the same samples with different dropout masks, as R-Drop compares
            them. The axis B then holds V B' rows, all B' samples of the first view, then all of the second.
    """

    embeddings_EBD: Tensor
    logits_EBC: Tensor
    label_embeddings_ECD: Tensor
    gates_EB: Tensor | None = None
    views: int = 1

    @property
    def num_exits(self) -> int:
        """Number of exits E."""
        return self.logits_EBC.shape[0]

    def cosines_EBC(self) -> Tensor:
        """Return the cosine (E, B, C) of each representation and each label embedding, see `label_cosines`.

        It is computed exit by exit, as the adaptive runtime does; the memory is that of the logits.
        """
        return torch.stack(
            [
                label_cosines(embeddings_BD, labels_CD)
                for embeddings_BD, labels_CD in zip(self.embeddings_EBD, self.label_embeddings_ECD, strict=True)
            ]
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> ExitOutputs:
        """Return the outputs with `function` applied to each tensor."""
        return ExitOutputs(
            function(self.embeddings_EBD),
            function(self.logits_EBC),
            function(self.label_embeddings_ECD),
            None if self.gates_EB is None else function(self.gates_EB),
            self.views,
        )

    def first_views(self, number: int) -> ExitOutputs:
        """Return the outputs of the first `number` views, 1 <= number <= V."""
        assert 1 <= number <= self.views
        rows = self.logits_EBC.shape[1] // self.views * number
        return ExitOutputs(
            self.embeddings_EBD[:, :rows],
            self.logits_EBC[:, :rows],
            self.label_embeddings_ECD,
            None if self.gates_EB is None else self.gates_EB[:, :rows],
            number,
        )

    def at_least_float32(self) -> ExitOutputs:
        """Return the outputs in float32, or in float64 if they are in float64."""
        return self.map(lambda tensor: tensor.to(torch.promote_types(tensor.dtype, torch.float32)))

    def detached(self) -> ExitOutputs:
        """Return the same values without a graph."""
        return self.map(Tensor.detach)


def label_cosines(embeddings_BD: Tensor, labels_CD: Tensor) -> Tensor:
    """Return the cosine (B, C) of representations (B, D) and label embeddings (C, D), float32.

    `cos(h, e) = <h, e> / (|h| |e|)`, in [-1, 1]; 0 where a vector is zero, NaN where one is not finite. It is computed
    in float64 and rounded to float32, so that it does not depend on the other samples of the batch.

    >>> import torch
    >>> label_cosines(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, -2.0]]))
    tensor([[ 0.6000, -0.8000]])
    """
    dtype = torch.float32 if embeddings_BD.device.type == "mps" else torch.float64  # MPS has no float64
    directions_BD, directions_CD = (normalize(vectors.to(dtype), dim=-1) for vectors in (embeddings_BD, labels_CD))
    return (directions_BD @ directions_CD.T).float().clamp(-1.0, 1.0)


def predictions(logits: Tensor) -> Tensor:
    """Return the predictions of logits (..., C) -> (...): the class index, or the value for regression (C = 1)."""
    return logits.squeeze(-1) if logits.shape[-1] == 1 else logits.argmax(dim=-1)
