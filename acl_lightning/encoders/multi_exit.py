"""A backbone with exits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import Backbone, KeysValues, TokenState
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


class ExitReading(NamedTuple):
    """What an exit says: logits (B, C), and the learnt gate's logits (B,) where the encoder has one."""

    logits_BC: Tensor
    gates_B: Tensor | None


@dataclass(frozen=True)
class HalfLayer:
    """A layer whose exit has been read and whose tokens have not been passed through yet.

    Attributes:
        layer: the layer, from 0.
        state: the tokens that enter the layer; the tokens after it, where `keys_values` is None.
        keys_values: what of the layer is computed already; None where the exit row needed the whole layer.
    """

    layer: int
    state: TokenState
    keys_values: KeysValues | None

    def select(self, rows: Tensor, length: int) -> HalfLayer:
        """Keep the samples `rows` and their first `length` tokens."""
        keys_values = None if self.keys_values is None else self.keys_values.select(rows, length)
        return HalfLayer(self.layer, self.state.select(rows, length), keys_values)


class MultiExitEncoder(nn.Module):
    """A backbone with an exit row and a head at each of some layers.

    Training, validation and the adaptive runtime step through the same `embed` and `advance`; the runtime splits the
    layers that have an exit into `exit_first` and `finish`. Layers above the deepest exit are removed, and the layer of
    the deepest exit computes only what that exit reads. One exit at the last layer is ordinary fine-tuning.

    Names of parameters start with `backbone.`, `exit_rows.`, `heads.` or are `label_embeddings`; so an optimiser can
    tell what was pretrained.

    Args:
        backbone: the pretrained encoder; it is cut in place.
        exit_layers: the layers that have an exit, counted from 1, ascending.
        exit_rows: one per exit.
        heads: one per exit.
        separate_label_embeddings: whether the label embeddings are parameters of their own; else they are the weight
            rows of the classifiers.
        learnt_gate: whether there is a gate: one linear map, shared by the exits, from what a classifier sees to the
            logit of its being right (BERxiT, Xin et al., EACL 2021). The gate reads detached vectors, so that learning
            it changes nothing else (our reading).

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
        learnt_gate: bool = False,
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
        self.gate = nn.Linear(backbone.width, 1) if learnt_gate else None
        self._exit_at = {layer - 1: exit_ for exit_, layer in enumerate(exit_layers)}

    def has_exit(self, layer: int) -> bool:
        """Whether layer `layer` (0-based) has an exit."""
        return layer in self._exit_at

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
        embeddings = []
        for layer in range(self.num_layers):
            assert state is not None
            embedding_BD, state = self._advance(layer, state)
            if embedding_BD is not None:
                embeddings.append(embedding_BD)
        # Logits are computed from the stacked embeddings, so that a gradient with respect to what is handed out holds
        # everything that a loss sends back into the encoder.
        embeddings_EBD = torch.stack(embeddings)
        logits = [self._head(exit_).classify(embeddings_EBD[exit_]) for exit_ in range(self.num_exits)]
        # Exit by exit, as the runtime does: one product over all exits would round differently.
        gates = None if self.gate is None else torch.stack([self.gate(one_BD.detach())[:, 0] for one_BD in embeddings])
        return ExitOutputs(embeddings_EBD, torch.stack(logits), self.label_embeddings_ECD(), gates)

    def gates(self, embeddings: Tensor) -> Tensor | None:
        """Logits (...) of the learnt gate for what classifiers see (..., D); None without a gate."""
        if self.gate is None:
            return None
        gates: Tensor = self.gate(embeddings.detach()).squeeze(-1)
        return gates

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> TokenState:
        """The state that enters layer 0."""
        return self.backbone.embed(input_ids, attention_mask, token_type_ids)

    def advance(self, layer: int, state: TokenState) -> ExitStep:
        """Pass through layer `layer` (0-based), reading its exit where it has one."""
        embedding_BD, following = self._advance(layer, state)
        if embedding_BD is None:
            return ExitStep(None, None, following)
        return ExitStep(embedding_BD, self._head(self._exit_at[layer]).classify(embedding_BD), following)

    def _advance(self, layer: int, state: TokenState) -> tuple[Tensor | None, TokenState | None]:
        """What the classifier of this layer's exit sees, and the tokens that enter the next layer."""
        exit_ = self._exit_at.get(layer)
        if exit_ is None:
            return None, self.backbone.layer(layer, state)
        row_BD, following = self._exit_row(exit_).read(self.backbone, layer, state, advance=layer + 1 < self.num_layers)
        return self._head(exit_).embed(row_BD), following

    def exit_first(self, layer: int, state: TokenState, *, whole: bool = False) -> tuple[ExitReading, HalfLayer]:
        """Read the exit of layer `layer` (0-based) before the rest of the layer: what it says, and what remains.

        For inference: the samples that leave here never pay for the rest. `finish` computes it for the others, with the
        same keys and values; the result is that of `advance`.

        Args:
            layer: one that has an exit and is not the deepest.
            state: the tokens that enter it.
            whole: pass the whole layer at once, so that nothing remains: cheaper where few tokens are left, since a
                row by itself reads all weights of the layer. Exits that need the whole layer do so in any case.
        """
        exit_ = self._exit_at[layer]
        query_B1D = None if whole else self._exit_row(exit_).query(state)
        if query_B1D is None:
            embedding_BD, logits_BC, following = self.advance(layer, state)
            assert embedding_BD is not None
            assert logits_BC is not None
            assert following is not None
            return ExitReading(logits_BC, self.gates(embedding_BD)), HalfLayer(layer, following, None)
        keys_values = self.backbone.keys_values(layer, state)
        row_B1D = self.backbone.rows(layer, query_B1D, keys_values, state.mask_BS)
        embedding_BD, logits_BC = self._head(exit_)(row_B1D[:, 0])
        return ExitReading(logits_BC, self.gates(embedding_BD)), HalfLayer(layer, state, keys_values)

    def finish(self, half: HalfLayer) -> TokenState:
        """Pass the tokens through the rest of a layer that `exit_first` began."""
        if half.keys_values is None:
            return half.state
        state = half.state
        hidden_BSD = self.backbone.rows(half.layer, state.hidden_BSD, half.keys_values, state.mask_BS)
        return TokenState(hidden_BSD, state.mask_BS)

    def _exit_row(self, exit_: int) -> ExitRow:
        row = self.exit_rows[exit_]
        assert isinstance(row, ExitRow)
        return row

    def _head(self, exit_: int) -> ExitHead:
        head = self.heads[exit_]
        assert isinstance(head, ExitHead)
        return head
