"""Backbone of the MPNet family, with a bias for relative positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import KeysValues
from acl_lightning.encoders.families.attention import attend, row_positions, split_heads
from acl_lightning.encoders.families.model_backbone import Context
from acl_lightning.encoders.families.text_backbone import TextBackbone


class MPNetFamily(TextBackbone):
    """MPNet, stepped through the submodules of its layers: post-norm, with a pooler and without token types.

    All layers add the same learnt bias to the scores, which depends on the head and on the relative position. Exit rows
    have the position of [CLS], see `row_positions`.

    Args:
        model: `MPNetModel`.
        settings: Settings of `ModelBackbone`.
    """

    def __init__(self, model: nn.Module, **settings: bool) -> None:
        super().__init__(model, **settings)
        self.max_tokens -= self.model.embeddings.padding_idx + 1  # positions are counted from padding_idx + 1

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Return the input (B, S, D) of layer 0. Token types are ignored: the model has no embeddings for them."""
        hidden_BSD: Tensor = self.model.embeddings(input_ids=input_ids)
        return hidden_BSD

    @property
    def blocks(self) -> nn.ModuleList:
        """Modules of the layers."""
        blocks: nn.ModuleList = self.model.encoder.layer
        return blocks

    def row_context(self, layer: int, query_BRD: Tensor, num_tokens: int) -> Context:
        """Return the bias (1, heads, R, S) of the relative positions."""
        encoder = self.model.encoder
        positions_R = row_positions(query_BRD.shape[1], num_tokens, query_BRD.device)
        offset_RS = torch.arange(num_tokens, device=query_BRD.device)[None, :] - positions_R[:, None]
        bias_RSH = encoder.relative_attention_bias(encoder.relative_position_bucket(offset_RS))
        return (bias_RSH.permute(2, 0, 1)[None],)

    @staticmethod
    def project(block: Any, hidden_BSD: Tensor, context: Context) -> KeysValues:
        """Project the tokens to the keys and values of a layer."""
        attention = block.attention.attn
        width = attention.attention_head_size
        return KeysValues(split_heads(attention.k(hidden_BSD), width), split_heads(attention.v(hidden_BSD), width))

    @staticmethod
    def pass_rows(
        block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None, context: Context
    ) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer."""
        attention = block.attention.attn
        (bias_1HRS,) = context
        context_BRD = attend(
            split_heads(attention.q(query_BRD), attention.attention_head_size),
            keys_values,
            mask_BS,
            dropout=attention.dropout.p if attention.training else 0.0,
            bias_BHRS=bias_1HRS,
        )
        attended_BRD = block.attention.LayerNorm(block.attention.dropout(attention.o(context_BRD)) + query_BRD)
        passed_BRD: Tensor = block.output(block.intermediate(attended_BRD), attended_BRD)
        return passed_BRD
