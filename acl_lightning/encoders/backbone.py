"""Base class of pretrained encoders that are stepped layer by layer, in training and inference."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from acl_lightning.errors import UserError


@dataclass(frozen=True)
class TokenState:
    """State of a batch between two layers.

    Attributes:
        hidden_BSD: Hidden states of the tokens.
        mask_BS: Mask, bool: True for tokens, False for padding; None without padding.
    """

    hidden_BSD: Tensor
    mask_BS: Tensor | None

    def select(self, rows: Tensor, length: int) -> TokenState:
        """Keep the samples `rows` (indices or a mask over the batch) and their first `length` tokens."""
        mask = None if self.mask_BS is None else self.mask_BS[rows, :length]
        return TokenState(self.hidden_BSD[rows, :length], mask)

    def mean_BD(self) -> Tensor:
        """Return the mean of the tokens that are not padding; zero for a sample without tokens."""
        return self.mean_B1D().squeeze(1)

    def mean_B1D(self) -> Tensor:
        """Return `mean_BD` as a row of tokens."""
        if self.mask_BS is None:
            return self.hidden_BSD.mean(dim=1, keepdim=True)
        weight_B1S = self.mask_BS.to(self.hidden_BSD.dtype).unsqueeze(1)
        sum_B1D = torch.bmm(weight_B1S, self.hidden_BSD)  # no (B, S, D) product in memory
        return sum_B1D / weight_B1S.sum(dim=2, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class KeysValues:
    """Keys and values of all tokens at a layer, (B, heads, S, width / heads): the reusable part of the layer.

    A family with further reusable tensors defines a subclass.
    """

    keys_BHSd: Tensor
    values_BHSd: Tensor

    def select(self, rows: Tensor, length: int) -> KeysValues:
        """Keep the samples `rows` and their first `length` tokens, see `TokenState.select`."""
        return KeysValues(self.keys_BHSd[rows, :, :length], self.values_BHSd[rows, :, :length])


class Backbone(nn.Module, ABC):
    """Pretrained encoder with two operations per layer: keys and values of all tokens, and rows that attend to them.

    A layer is `rows` applied to all tokens. An exit row is `rows` applied to a single vector per sample, which attends
    to all tokens and to which no token attends. An exit can therefore be evaluated before the rest of its layer, and
    the keys and values are reused for the samples that continue.

    Every family needs a test that stepping reproduces the hidden states of the Hugging Face model to 1e-5, and that
    dropping samples between layers does not change the others.

    In `rows`, the first S of R rows are the tokens. In an encoder with relative positions, a row in addition to them
    and a single row have the position of the first token.

    Attributes:
        width: Width D of the hidden states.
        depth: Number of layers L of the pretrained model; `cut` does not change it.
        max_tokens: Largest number of tokens with position embeddings.
        gradient_checkpointing: Whether training keeps only the input of each layer and recomputes the rest in the
            backward pass.
        compile_layers: Whether layers are run through `torch.compile`. `keys_values` and `rows`, which are called
            separately for exits before the rest of their layer, are not compiled.
    """

    width: int
    depth: int
    max_tokens: int
    gradient_checkpointing: bool = False
    compile_layers: bool = False

    @abstractmethod
    def embed(self, *arguments: Any, **inputs: Any) -> TokenState:
        """Embed the inputs of the family into the input of layer 0.

        Encoders of texts take `input_ids`, `attention_mask` and optionally `token_type_ids`, (B, S) each; encoders of
        images take `pixel_values`, (B, channels, height, width).
        """

    @abstractmethod
    def keys_values(self, layer: int, state: TokenState) -> KeysValues:
        """Project the tokens to the keys and values of layer `layer` (0-based)."""

    @abstractmethod
    def rows(self, layer: int, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None) -> Tensor:
        """Pass R rows per sample (B, R, D) through layer `layer`: attention over the tokens, output, feed-forward."""

    def example_inputs(self, num_tokens: int, device: torch.device) -> dict[str, Tensor]:
        """Return inputs of one sample of `num_tokens` tokens, for counting operations. The default is for texts."""
        ones = torch.ones(1, num_tokens, dtype=torch.long, device=device)
        return {"input_ids": ones, "attention_mask": ones}

    @abstractmethod
    def pooler(self) -> nn.Linear | None:
        """Return the linear map of the pretrained tanh pooler, if there is one; it is no parameter of this module."""

    def exit_norm(self, row: Tensor) -> Tensor:
        """Normalize rows (..., D) after a layer for the head of an exit.

        A pre-norm encoder applies its final norm here. The default, for post-norm layers, returns the rows unchanged.
        """
        return row

    def layers_of(self, name: str) -> tuple[int, ...]:
        """Return the layers, from 1 and in ascending order, that use the parameter `name`; (0,) for the embeddings.

        Freezing and layer-wise learning rates use it. A final norm belongs to the last layer. The default takes the
        first number in the name.
        """
        number = re.search(r"\.(\d+)\.", name)
        return (int(number[1]) + 1 if number else 0,)

    @abstractmethod
    def cut(self, num_layers: int) -> None:
        """Remove the layers above the first `num_layers`, which no exit needs."""

    def read(self, layer: int, query_BRD: Tensor, state: TokenState) -> Tensor:
        """Pass R rows per sample, which attend to the tokens of `state`, through layer `layer`: (B, R, D)."""
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            rows_BRD: Tensor = checkpoint(self._read, layer, query_BRD, state, use_reentrant=False)
            return rows_BRD
        return self._read(layer, query_BRD, state)

    def _read(self, layer: int, query_BRD: Tensor, state: TokenState) -> Tensor:
        return self.rows(layer, query_BRD, self.keys_values(layer, state), state.mask_BS)

    def layer(self, layer: int, state: TokenState) -> TokenState:
        """Pass all tokens through layer `layer`."""
        return TokenState(self.read(layer, state.hidden_BSD, state), state.mask_BS)

    def check_length(self, num_tokens: int) -> None:
        """Raise `UserError` if there are no position embeddings for `num_tokens` tokens."""
        if num_tokens > self.max_tokens:
            raise UserError(
                f"at most {self.max_tokens} tokens per sample",
                f"{num_tokens}",
                f"Set data.max_length to {self.max_tokens} or less.",
            )
