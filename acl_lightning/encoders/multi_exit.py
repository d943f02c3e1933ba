"""Backbone with exits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import Backbone, KeysValues, TokenState
from acl_lightning.encoders.exit_rows import ExitRow
from acl_lightning.encoders.heads import INITIAL_STD, ExitHead
from acl_lightning.outputs import ExitOutputs, label_cosines


class ExitStep(NamedTuple):
    """Result of a pass through a layer.

    Attributes:
        embedding_BD: Input of the classifier of the layer's exit; None without an exit.
        logits_BC: Logits of the layer's exit; None without an exit.
        following: Input of the next layer; None after the deepest exit.
    """

    embedding_BD: Tensor | None
    logits_BC: Tensor | None
    following: TokenState | None


class ExitReading(NamedTuple):
    """Result of an exit.

    Attributes:
        logits_BC: Logits of the classifier.
        gates_B: Logits of the learnt gate; None for an encoder without a gate.
        cosines_BC: Cosines with the label embeddings; None where they were not asked for.
    """

    logits_BC: Tensor
    gates_B: Tensor | None
    cosines_BC: Tensor | None = None


@dataclass(frozen=True)
class HalfLayer:
    """Layer whose exit has been evaluated and through which the tokens have not passed yet.

    Attributes:
        layer: Index of the layer, from 0.
        state: Tokens that enter the layer; the tokens after the layer if `keys_values` is None.
        keys_values: Keys and values of the layer; None if the exit row needed the whole layer.
    """

    layer: int
    state: TokenState
    keys_values: KeysValues | None

    def select(self, rows: Tensor, length: int) -> HalfLayer:
        """Keep the samples `rows` and their first `length` tokens."""
        keys_values = None if self.keys_values is None else self.keys_values.select(rows, length)
        return HalfLayer(self.layer, self.state.select(rows, length), keys_values)


class MultiExitEncoder(nn.Module):
    """Backbone with an exit row and a head at each of several layers.

    Training and validation step through `embed` and `advance`; the adaptive runtime splits the layers with an exit into
    `exit_first` and `finish`, with equal results. Layers above the deepest exit are removed, and the layer of the
    deepest exit computes only what this exit needs. A single exit at the last layer is ordinary fine-tuning.

    Names of parameters start with `backbone.` (pretrained), `exit_rows.`, `heads.` or `gate.`, or are
    `label_embeddings`.

    Args:
        backbone: Pretrained encoder, which is cut in place.
        exit_layers: Layers with an exit, counted from 1, in ascending order.
        exit_rows: An exit row per exit.
        heads: A head per exit.
        separate_label_embeddings: Whether the label embeddings are additional parameters; otherwise they are the weight
            rows of the classifiers.
        learnt_gate: Whether there is a gate: a linear map, shared by all exits, from the input of a classifier to the
            logit that its prediction is right (BERxiT, Xin et al., EACL 2021). The input is detached, so that training
            the gate changes no other parameter (our reading).

    Attributes:
        exit_layers: Layers with an exit.
        depth: Number of layers L of the pretrained model, including those above the deepest exit: the reference of
            speed-ups.
        num_exits: Number of exits E.
        num_labels: Number of classes C.
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
        """Return whether layer `layer` (0-based) has an exit."""
        return layer in self._exit_at

    @property
    def num_layers(self) -> int:
        """Number of layers that are computed, up to the deepest exit."""
        return self.exit_layers[-1]

    def label_embeddings_ECD(self) -> Tensor:
        """Return a vector per exit and class: the weight rows of the classifiers, or the separate table."""
        if self.label_embeddings is not None:
            return self.label_embeddings
        return torch.stack([self._head(exit_).classifier.weight for exit_ in range(self.num_exits)])

    def forward(self, *arguments: Tensor | None, **inputs: Tensor | None) -> ExitOutputs:
        """Return the outputs of every exit for a batch.

        Args:
            arguments: Inputs of the backbone: for texts `input_ids`, `attention_mask` and optionally `token_type_ids`,
                (B, S) each.
            inputs: The same by name; for images `pixel_values`.

        Raises:
            UserError: There are more tokens than position embeddings, or images have another size.
        """
        state: TokenState | None = self.embed(*arguments, **inputs)
        embeddings = []
        for layer in range(self.num_layers):
            assert state is not None
            embedding_BD, state = self._advance(layer, state)
            if embedding_BD is not None:
                embeddings.append(embedding_BD)
        # Logits are computed from the stacked embeddings, so that the gradient with respect to the returned embeddings
        # is the complete gradient of a loss that reaches the encoder.
        embeddings_EBD = torch.stack(embeddings)
        logits = [self._head(exit_).classify(embeddings_EBD[exit_]) for exit_ in range(self.num_exits)]
        # Exit by exit, as the runtime does: a single product over all exits would round differently.
        gates = (
            None if self.gate is None else torch.stack([self.gate(input_BD.detach())[:, 0] for input_BD in embeddings])
        )
        return ExitOutputs(embeddings_EBD, torch.stack(logits), self.label_embeddings_ECD(), gates)

    def gates(self, embeddings: Tensor) -> Tensor | None:
        """Return the logits (...) of the learnt gate for inputs of classifiers (..., D); None without a gate."""
        if self.gate is None:
            return None
        gates: Tensor = self.gate(embeddings.detach()).squeeze(-1)
        return gates

    def cosines(self, exit_: int, embedding_BD: Tensor) -> Tensor:
        """Return the cosine (B, C) of inputs of the classifier of exit `exit_` (from 0) and its label embeddings."""
        separate = self.label_embeddings
        labels_CD = self._head(exit_).classifier.weight if separate is None else separate[exit_]
        return label_cosines(embedding_BD, labels_CD)

    def embed(self, *arguments: Tensor | None, **inputs: Tensor | None) -> TokenState:
        """Return the input of layer 0 for the inputs of `forward`."""
        return self.backbone.embed(*arguments, **inputs)

    def advance(self, layer: int, state: TokenState) -> ExitStep:
        """Pass the tokens through layer `layer` (0-based) and evaluate its exit, if it has one."""
        embedding_BD, following = self._advance(layer, state)
        if embedding_BD is None:
            return ExitStep(None, None, following)
        return ExitStep(embedding_BD, self._head(self._exit_at[layer]).classify(embedding_BD), following)

    def _advance(self, layer: int, state: TokenState) -> tuple[Tensor | None, TokenState | None]:
        """Return the input of the classifier of the layer's exit, and the input of the next layer."""
        exit_ = self._exit_at.get(layer)
        if exit_ is None:
            return None, self.backbone.layer(layer, state)
        row_BD, following = self._exit_row(exit_).read(self.backbone, layer, state, advance=layer + 1 < self.num_layers)
        return self._head(exit_).embed(row_BD), following

    def exit_first(
        self, layer: int, state: TokenState, *, whole: bool = False, cosines: bool = False
    ) -> tuple[ExitReading, HalfLayer]:
        """Evaluate the exit of layer `layer` (0-based) before the rest of the layer.

        For inference: the rest of the layer is not computed for samples that leave. `finish` computes it for the
        others, with the same keys and values; the result is that of `advance`.

        Args:
            layer: Layer with an exit that is not the deepest.
            state: Tokens that enter the layer.
            whole: Whether to compute the whole layer at once, which is cheaper for few tokens, since a row alone needs
                all weights of the layer. Exit rows that need the whole layer compute it in any case.
            cosines: Whether to return the cosines with the label embeddings too.

        Returns:
            The result of the exit, and the layer to pass to `finish`.
        """
        exit_ = self._exit_at[layer]
        query_B1D = None if whole else self._exit_row(exit_).query(state)
        if query_B1D is None:
            embedding_BD, logits_BC, following = self.advance(layer, state)
            assert embedding_BD is not None
            assert logits_BC is not None
            assert following is not None
            return self._reading(exit_, embedding_BD, logits_BC, cosines=cosines), HalfLayer(layer, following, None)
        keys_values = self.backbone.keys_values(layer, state)
        row_B1D = self.backbone.rows(layer, query_B1D, keys_values, state.mask_BS)
        embedding_BD, logits_BC = self._head(exit_)(self.backbone.exit_norm(row_B1D[:, 0]))
        return self._reading(exit_, embedding_BD, logits_BC, cosines=cosines), HalfLayer(layer, state, keys_values)

    def _reading(self, exit_: int, embedding_BD: Tensor, logits_BC: Tensor, *, cosines: bool) -> ExitReading:
        cosines_BC = self.cosines(exit_, embedding_BD) if cosines else None
        return ExitReading(logits_BC, self.gates(embedding_BD), cosines_BC)

    def finish(self, half: HalfLayer) -> TokenState:
        """Pass the tokens through the rest of a layer after `exit_first`."""
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
