"""Backbone of the ModernBERT family: pre-norm, with rotary positions and local attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import KeysValues
from acl_lightning.encoders.families.attention import attend, row_positions, split_heads
from acl_lightning.encoders.families.model_backbone import Context
from acl_lightning.encoders.families.text_backbone import TextBackbone


class ModernBertFamily(TextBackbone):
    """ModernBERT, stepped through the submodules of its layers, without token types and pooler.

    Layers are pre-norm, so exits read rows after the final norm of the model. Exit rows have the position of [CLS], see
    `row_positions`: in a local layer they read the first `local_attention / 2 + 1` tokens.

    The fused projection `attn.Wqkv` of each layer is replaced by `attn.query` and `attn.key_value`, so that a row is
    projected without its keys and values.

    Args:
        model: `ModernBertModel`.
        settings: Settings of `ModelBackbone`.
    """

    def __init__(self, model: nn.Module, **settings: bool) -> None:
        super().__init__(model, **settings)
        for block in self.blocks:
            _split_projection(block)

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Return the input (B, S, D) of layer 0. Token types are ignored: the model has no embeddings for them."""
        hidden_BSD: Tensor = self.model.embeddings(input_ids=input_ids)
        return hidden_BSD

    @property
    def blocks(self) -> nn.ModuleList:
        """Modules of the layers."""
        blocks: nn.ModuleList = self.model.layers
        return blocks

    def exit_norm(self, row: Tensor) -> Tensor:
        """Apply the final norm."""
        normed: Tensor = self.model.final_norm(row)
        return normed

    def layers_of(self, name: str) -> tuple[int, ...]:
        """Return the layer of a parameter, see `Backbone.layers_of`."""
        return (self.depth,) if name.startswith("model.final_norm.") else super().layers_of(name)

    def token_context(self, layer: int, hidden_BSD: Tensor) -> Context:
        """Return cosines and sines (1, S, d) of the rotations of the keys."""
        return self._rotations(layer, torch.arange(hidden_BSD.shape[1], device=hidden_BSD.device), hidden_BSD)

    def row_context(self, layer: int, query_BRD: Tensor, num_tokens: int) -> Context:
        """Return cosines and sines (1, R, d) of the rotations of the queries; in a local layer also a window (R, S)."""
        positions_R = row_positions(query_BRD.shape[1], num_tokens, query_BRD.device)
        rotations = self._rotations(layer, positions_R, query_BRD)
        if self.model.config.layer_types[layer] != "sliding_attention":
            return rotations
        distance_RS = (positions_R[:, None] - torch.arange(num_tokens, device=query_BRD.device)).abs()
        return (*rotations, distance_RS <= self.model.config.sliding_window)

    def _rotations(self, layer: int, positions: Tensor, like: Tensor) -> Context:
        cosines, sines = self.model.rotary_emb(like, positions[None], self.model.config.layer_types[layer])
        return cosines, sines

    @staticmethod
    def project(block: Any, hidden_BSD: Tensor, context: Context) -> KeysValues:
        """Project the tokens to the rotated keys and the values of a layer."""
        cosines, sines = context
        keys, values = block.attn.key_value(block.attn_norm(hidden_BSD)).chunk(2, dim=-1)
        width = block.attn.head_dim
        return KeysValues(_rotated(split_heads(keys, width), cosines, sines), split_heads(values, width))

    @staticmethod
    def pass_rows(
        block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None, context: Context
    ) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer."""
        attention = block.attn
        cosines, sines, *window = context
        query_BHRd = split_heads(attention.query(block.attn_norm(query_BRD)), attention.head_dim)
        context_BRD = attend(
            _rotated(query_BHRd, cosines, sines),
            keys_values,
            mask_BS,
            dropout=attention.attention_dropout if attention.training else 0.0,
            window_RS=window[0] if window else None,
        )
        attended_BRD = query_BRD + attention.out_drop(attention.Wo(context_BRD))
        passed_BRD: Tensor = attended_BRD + block.mlp(block.mlp_norm(attended_BRD))
        return passed_BRD


def _split_projection(block: Any) -> None:
    """Replace the fused projection of a layer by one for queries, and one for keys and values."""
    fused = block.attn.Wqkv
    width, has_bias = fused.in_features, fused.bias is not None
    place = {"device": fused.weight.device, "dtype": fused.weight.dtype}
    block.attn.query = nn.Linear(width, width, bias=has_bias, **place)
    block.attn.key_value = nn.Linear(width, 2 * width, bias=has_bias, **place)
    with torch.no_grad():
        for target, rows in ((block.attn.query, slice(width)), (block.attn.key_value, slice(width, None))):
            target.weight.copy_(fused.weight[rows])
            if has_bias:
                target.bias.copy_(fused.bias[rows])
    del block.attn.Wqkv


def _rotated(heads_BHRd: Tensor, cosines_1Rd: Tensor, sines_1Rd: Tensor) -> Tensor:
    """Return `x cos + (-x_2, x_1) sin` for every head `x = (x_1, x_2)`, computed in float32."""
    first, second = heads_BHRd.float().chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (heads_BHRd.float() * cosines_1Rd[:, None] + turned * sines_1Rd[:, None]).to(heads_BHRd.dtype)
