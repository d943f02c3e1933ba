"""Backbone of the DistilBERT family."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from acl_lightning.encoders.backbone import KeysValues
from acl_lightning.encoders.families.attention import attend, split_heads
from acl_lightning.encoders.families.model_backbone import Context
from acl_lightning.encoders.families.text_backbone import TextBackbone


class DistilBertFamily(TextBackbone):
    """DistilBERT, stepped through the submodules of its layers: post-norm, without token types and pooler.

    Args:
        model: `DistilBertModel`.
        settings: Settings of `ModelBackbone`.
    """

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Return the input (B, S, D) of layer 0. Token types are ignored: the model has no embeddings for them."""
        hidden_BSD: Tensor = self.model.embeddings(input_ids=input_ids)
        return hidden_BSD

    @property
    def blocks(self) -> nn.ModuleList:
        """Modules of the layers."""
        blocks: nn.ModuleList = self.model.transformer.layer
        return blocks

    @staticmethod
    def project(block: Any, hidden_BSD: Tensor, context: Context) -> KeysValues:
        """Project the tokens to the keys and values of a layer."""
        attention = block.attention
        width = attention.attention_head_size
        keys, values = attention.k_lin(hidden_BSD), attention.v_lin(hidden_BSD)
        return KeysValues(split_heads(keys, width), split_heads(values, width))

    @staticmethod
    def pass_rows(
        block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None, context: Context
    ) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer."""
        attention = block.attention
        context_BRD = attend(
            split_heads(attention.q_lin(query_BRD), attention.attention_head_size),
            keys_values,
            mask_BS,
            dropout=attention.dropout.p if attention.training else 0.0,
        )
        attended_BRD = block.sa_layer_norm(attention.out_lin(context_BRD) + query_BRD)
        passed_BRD: Tensor = block.output_layer_norm(block.ffn(attended_BRD) + attended_BRD)
        return passed_BRD
