"""The stepping contract every pretrained encoder is driven through, in training and in inference alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from acl_lightning.errors import UserError


@dataclass(frozen=True)
class TokenState:
    """What travels from layer to layer.

    Attributes:
        hidden_BSD: the tokens' vectors.
        mask_BS: bool, True for tokens that may be read, False for padding; None where nothing is padded.
    """

    hidden_BSD: Tensor
    mask_BS: Tensor | None

    def select(self, rows: Tensor, length: int) -> TokenState:
        """Keep the samples `rows` (indices or bools over the batch) and their first `length` tokens."""
        mask = None if self.mask_BS is None else self.mask_BS[rows, :length]
        return TokenState(self.hidden_BSD[rows, :length], mask)

    def mean_BD(self) -> Tensor:
        """Mean of the tokens that are not padding; zero for a sample that has none."""
        if self.mask_BS is None:
            return self.hidden_BSD.mean(dim=1)
        weight_BS = self.mask_BS.to(self.hidden_BSD.dtype)
        sum_BD = torch.bmm(weight_BS.unsqueeze(1), self.hidden_BSD).squeeze(1)  # no (B, S, D) product in memory
        return sum_BD / weight_BS.sum(dim=1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class KeysValues:
    """Keys and values of all tokens at one layer (B, heads, S, width / heads): the reusable part of that layer."""

    keys_BHSd: Tensor
    values_BHSd: Tensor

    def select(self, rows: Tensor, length: int) -> KeysValues:
        """Keep the samples `rows` and their first `length` tokens, as `TokenState.select` does."""
        return KeysValues(self.keys_BHSd[rows, :, :length], self.values_BHSd[rows, :, :length])


class Backbone(nn.Module, ABC):
    """A pretrained encoder as two primitives a layer: the keys and values of all tokens, and rows that read them.

    A whole layer is `rows` applied to all tokens. An exit row is `rows` applied to one vector per sample, which reads
    all tokens and which no token reads back. So an exit can be evaluated before the rest of its layer, and the keys and
    values are reused for the samples that stay.

    Decisive test for every family: stepping reproduces the Hugging Face model's hidden states to 1e-5, and dropping
    samples between layers does not change the others.

    Attributes:
        width: D, width of the tokens' vectors.
        depth: L, number of layers that the pretrained model has; `cut` does not change it.
        max_tokens: longest sequence that has position embeddings.
        gradient_checkpointing: in training, keep only each layer's input and compute the rest again for the gradient.
        compile_layers: run a layer through `torch.compile`; `keys_values` and `rows`, which the row-first path calls
            one by one, stay as they are.
    """

    width: int
    depth: int
    max_tokens: int
    gradient_checkpointing: bool = False
    compile_layers: bool = False

    @abstractmethod
    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> TokenState:
        """Embed token ids (B, S) into the state that enters layer 0."""

    @abstractmethod
    def keys_values(self, layer: int, state: TokenState) -> KeysValues:
        """Project the tokens to the keys and values of layer `layer` (0-based)."""

    @abstractmethod
    def rows(self, layer: int, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None) -> Tensor:
        """Pass R rows per sample (B, R, D) through layer `layer`: attention over the tokens, output, feed-forward."""

    @abstractmethod
    def pooler(self) -> nn.Linear | None:
        """The pretrained tanh pooler's linear map, where the checkpoint has one; no parameter of this module."""

    @abstractmethod
    def cut(self, num_layers: int) -> None:
        """Remove the layers above the first `num_layers`, so that layers no exit reads hold no parameters."""

    def read(self, layer: int, query_BRD: Tensor, state: TokenState) -> Tensor:
        """Pass R rows per sample through layer `layer`, reading the tokens of `state`. -> (B, R, D)."""
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            again: Tensor = checkpoint(self._read, layer, query_BRD, state, use_reentrant=False)
            return again
        return self._read(layer, query_BRD, state)

    def _read(self, layer: int, query_BRD: Tensor, state: TokenState) -> Tensor:
        return self.rows(layer, query_BRD, self.keys_values(layer, state), state.mask_BS)

    def layer(self, layer: int, state: TokenState) -> TokenState:
        """Pass all tokens through layer `layer`."""
        return TokenState(self.read(layer, state.hidden_BSD, state), state.mask_BS)

    def check_length(self, num_tokens: int) -> None:
        """Raise `UserError` when there are no position embeddings for `num_tokens` tokens."""
        if num_tokens > self.max_tokens:
            raise UserError(
                f"at most {self.max_tokens} tokens per sample", f"{num_tokens}", "Lower the DataModule's max_length."
            )
