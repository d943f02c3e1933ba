"""Head of an exit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Standard deviation of new weights: BERT's `initializer_range`.
INITIAL_STD = 0.02


class ExitHead(nn.Module):
    """Optional tanh pooler, dropout, linear classifier: `h = dropout(tanh(P row + p))`, `logits = W h + w`.

    The order is `BertForSequenceClassification`'s. Without the pooler, `h = dropout(row)`.

    Args:
        width: Width D of the exit row.
        num_labels: Number of classes C; 1 for regression.
        pooler: Whether there is a tanh pooler.
        pretrained_pooler: Initial weights of the pooler, which are copied; None: random weights. Ignored without a
            pooler.
        dropout: Dropout probability, in [0, 1).
    """

    def __init__(
        self, width: int, num_labels: int, *, pooler: bool, pretrained_pooler: nn.Linear | None, dropout: float
    ) -> None:
        super().__init__()
        self.pooler = _linear(width, width) if pooler else None
        if self.pooler is not None and pretrained_pooler is not None:
            self.pooler.load_state_dict(pretrained_pooler.state_dict())
        self.dropout = nn.Dropout(dropout)
        self.classifier = _linear(width, num_labels)

    def forward(self, row_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the input of the classifier (B, D) and the logits (B, C)."""
        embedding_BD = self.embed(row_BD)
        return embedding_BD, self.classify(embedding_BD)

    def embed(self, row_BD: Tensor) -> Tensor:
        """Return the input of the classifier (B, D)."""
        embedding_BD: Tensor = self.dropout(row_BD if self.pooler is None else torch.tanh(self.pooler(row_BD)))
        return embedding_BD

    def classify(self, embedding_BD: Tensor) -> Tensor:
        """Return the logits (B, C)."""
        logits_BC: Tensor = self.classifier(embedding_BD)
        return logits_BC


def _linear(fan_in: int, fan_out: int) -> nn.Linear:
    linear = nn.Linear(fan_in, fan_out)
    nn.init.normal_(linear.weight, std=INITIAL_STD)
    nn.init.zeros_(linear.bias)
    return linear
