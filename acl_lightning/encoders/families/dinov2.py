"""Backbone of the DINOv2 family."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from acl_lightning.encoders.backbone import KeysValues
from acl_lightning.encoders.families.attention import attend, split_heads
from acl_lightning.encoders.families.image_backbone import ImageBackbone
from acl_lightning.encoders.families.model_backbone import Context


class Dinov2Family(ImageBackbone):
    """DINOv2, stepped through the submodules of its layers: pre-norm, with layer scale and without pooler.

    Args:
        model: `Dinov2Model`.
        settings: Settings of `ModelBackbone`.
    """

    @property
    def blocks(self) -> nn.ModuleList:
        """Modules of the layers."""
        blocks: nn.ModuleList = self.model.encoder.layer
        return blocks

    @staticmethod
    def project(block: Any, hidden_BSD: Tensor, context: Context) -> KeysValues:
        """Project the tokens to the keys and values of a layer."""
        attention, normed_BSD = block.attention, block.norm1(hidden_BSD)
        keys, values = attention.k_proj(normed_BSD), attention.v_proj(normed_BSD)
        return KeysValues(split_heads(keys, attention.head_dim), split_heads(values, attention.head_dim))

    @staticmethod
    def pass_rows(
        block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None, context: Context
    ) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer."""
        attention = block.attention
        context_BRD = attend(
            split_heads(attention.q_proj(block.norm1(query_BRD)), attention.head_dim),
            keys_values,
            mask_BS,
            dropout=attention.attention_dropout if attention.training else 0.0,
        )
        attended_BRD = query_BRD + block.drop_path(block.layer_scale1(attention.o_proj(context_BRD)))
        passed_BRD: Tensor = attended_BRD + block.drop_path(block.layer_scale2(block.mlp(block.norm2(attended_BRD))))
        return passed_BRD
