"""The stepping contract every pretrained encoder is driven through, in training and in inference alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class TokenState:
    """What travels from layer to layer.

    Attributes:
        hidden_BSD: the tokens' vectors.
        mask_BS: bool, True for tokens that may be read; False for padding.
    """

    hidden_BSD: Tensor
    mask_BS: Tensor

    def select(self, rows: Tensor) -> TokenState:
        """Keep the samples `rows` (bool or index over the batch), dropping columns that are padding in all of them."""
        mask = self.mask_BS[rows]
        length = int(mask.any(dim=0).nonzero().amax()) + 1 if mask.numel() else 0
        return TokenState(self.hidden_BSD[rows, :length], mask[:, :length])

    def mean_BD(self) -> Tensor:
        """Masked mean of the tokens."""
        weight = self.mask_BS.unsqueeze(-1).to(self.hidden_BSD.dtype)
        return (self.hidden_BSD * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


@dataclass(frozen=True)
class KeysValues:
    """Keys and values of all tokens at one layer (B, heads, S, width / heads): the reusable part of that layer."""

    keys_BHSd: Tensor
    values_BHSd: Tensor


class Backbone(nn.Module, ABC):
    """A pretrained encoder as two primitives a layer: the keys and values of all tokens, and rows that read them.

    A whole layer is `rows` applied to all tokens. An exit row is `rows` applied to one vector per sample, which reads
    all tokens and which no token reads back. So an exit can be evaluated before the rest of its layer, and the keys and
    values are reused for the samples that stay.

    Decisive test for every family: stepping reproduces the Hugging Face model's hidden states to 1e-5, and dropping
    samples between layers does not change the others.
    """

    width: int
    depth: int

    @abstractmethod
    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> TokenState:
        """Embed token ids (B, S) into the state that enters layer 0."""

    @abstractmethod
    def keys_values(self, layer: int, state: TokenState) -> KeysValues:
        """Project the tokens to the keys and values of layer `layer` (0-based)."""

    @abstractmethod
    def rows(self, layer: int, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor) -> Tensor:
        """Pass R rows per sample through layer `layer`: attention over the tokens, output, feed-forward. -> (B, R, D)."""

    @abstractmethod
    def pooler(self) -> nn.Linear | None:
        """The pretrained tanh pooler's linear map, where the checkpoint has one."""

    def layer(self, layer: int, state: TokenState) -> TokenState:
        """Pass all tokens through layer `layer`."""
        hidden = self.rows(layer, state.hidden_BSD, self.keys_values(layer, state), state.mask_BS)
        return TokenState(hidden, state.mask_BS)
