"""A backbone with exits."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import Backbone, TokenState
from acl_lightning.encoders.exit_rows import ExitRow
from acl_lightning.encoders.heads import INITIAL_STD, ExitHead
from acl_lightning.outputs import ExitOutputs


class ExitStep(NamedTuple):
    """What passing through one layer yields.

    Attributes:
        embedding_BD: what the exit's classifier sees; None where the layer has no exit.
        logits_BC: the exit's logits; None where the layer has no exit.
        following: the tokens that enter the next layer; None after the deepest exit.
    """

    embedding_BD: Tensor | None
    logits_BC: Tensor | None
    following: TokenState | None


class MultiExitEncoder(nn.Module):
    """A backbone with an exit row and a head at each of some layers.

    Training, validation and the adaptive runtime go through the same `embed` and `advance`. Layers above the deepest
    exit are removed, and the layer of the deepest exit computes only what that exit reads. One exit at the last layer
    is ordinary fine-tuning.

    Names of parameters start with `backbone.`, `exit_rows.`, `heads.` or are `label_embeddings`; so an optimiser can
    tell what was pretrained.

    Args:
        backbone: the pretrained encoder; it is cut in place.
        exit_layers: the layers that have an exit, counted from 1, ascending.
        exit_rows: one per exit.
        heads: one per exit.
        separate_label_embeddings: whether the label embeddings are parameters of their own; else they are the weight
            rows of the classifiers.

    Attributes:
        exit_layers: as given.
        depth: L, layers of the pretrained model, those above the deepest exit included: the reference of speed-ups.
        num_exits: E.
        num_labels: C.
    """

    def __init__(
        self,
        backbone: Backbone,
        exit_layers: tuple[int, ...],
        exit_rows: list[ExitRow],
        heads: list[ExitHead],
        *,
        separate_label_embeddings: bool = False,
    ) -> None:
        super().__init__()
        assert len(exit_layers) == len(exit_rows) == len(heads) > 0
        assert list(exit_layers) == sorted({*exit_layers})
        assert 1 <= exit_layers[0] <= exit_layers[-1] <= backbone.depth
        backbone.cut(exit_layers[-1])
        self.backbone = backbone
        self.exit_layers = exit_layers
        self.depth = backbone.depth
        self.num_exits = len(exit_layers)
        self.num_labels = heads[0].classifier.out_features
        self.exit_rows = nn.ModuleList(exit_rows)
        self.heads = nn.ModuleList(heads)
        self.label_embeddings: nn.Parameter | None = None
        if separate_label_embeddings:
            shape = (self.num_exits, self.num_labels, backbone.width)
            self.label_embeddings = nn.Parameter(torch.empty(shape).normal_(std=INITIAL_STD))
        self._exit_at = {layer - 1: exit_ for exit_, layer in enumerate(exit_layers)}

    @property
    def num_layers(self) -> int:
        """Layers that are computed: up to the deepest exit."""
        return self.exit_layers[-1]

    def label_embeddings_ECD(self) -> Tensor:
        """One vector per exit and class: the classifiers' weight rows when tied, else the table of their own."""
        if self.label_embeddings is not None:
            return self.label_embeddings
        return torch.stack([self._head(exit_).classifier.weight for exit_ in range(self.num_exits)])

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> ExitOutputs:
        """Outputs of every exit for a batch of token ids (B, S).

        Raises:
            UserError: more tokens than the backbone has positions for.
        """
        state: TokenState | None = self.embed(input_ids, attention_mask, token_type_ids)
        embeddings, logits = [], []
        for layer in range(self.num_layers):
            assert state is not None
            embedding_BD, logits_BC, state = self.advance(layer, state)
            if embedding_BD is not None and logits_BC is not None:
                embeddings.append(embedding_BD)
                logits.append(logits_BC)
        return ExitOutputs(torch.stack(embeddings), torch.stack(logits), self.label_embeddings_ECD())

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> TokenState:
        """The state that enters layer 0."""
        return self.backbone.embed(input_ids, attention_mask, token_type_ids)

    def advance(self, layer: int, state: TokenState) -> ExitStep:
        """Pass through layer `layer` (0-based), reading its exit where it has one."""
        exit_ = self._exit_at.get(layer)
        if exit_ is None:
            return ExitStep(None, None, self.backbone.layer(layer, state))
        row_BD, following = self._exit_row(exit_).read(self.backbone, layer, state, advance=layer + 1 < self.num_layers)
        embedding_BD, logits_BC = self._head(exit_)(row_BD)
        return ExitStep(embedding_BD, logits_BC, following)

    def _exit_row(self, exit_: int) -> ExitRow:
        row = self.exit_rows[exit_]
        assert isinstance(row, ExitRow)
        return row

    def _head(self, exit_: int) -> ExitHead:
        head = self.heads[exit_]
        assert isinstance(head, ExitHead)
        return head
