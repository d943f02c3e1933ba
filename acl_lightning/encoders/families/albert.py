"""Backbone of the ALBERT family, whose layers share their parameters."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

from acl_lightning.encoders.backbone import KeysValues
from acl_lightning.encoders.families.attention import attend, split_heads
from acl_lightning.encoders.families.model_backbone import Context
from acl_lightning.encoders.families.text_backbone import TextBackbone


class AlbertFamily(TextBackbone):
    """ALBERT, stepped through the submodules of its shared layers: post-norm, with a pooler.

    The `num_hidden_layers` steps of the model are divided evenly over `num_hidden_groups` groups, and a step passes
    through the `inner_group_num` inner layers of its group. Each inner layer counts as a layer, so the depth is
    `num_hidden_layers * inner_group_num`. Most checkpoints have one group with one inner layer: one set of parameters
    for all layers.

    Args:
        model: `AlbertModel`.
        settings: Settings of `ModelBackbone`.
    """

    def __init__(self, model: nn.Module, **settings: bool) -> None:
        super().__init__(model, **settings)
        config: Any = model.config
        self._inner = config.inner_group_num
        self._steps_per_group = config.num_hidden_layers / config.num_hidden_groups
        self.depth = self._used = config.num_hidden_layers * self._inner

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Return the input (B, S, D) of layer 0."""
        embedded_BSE = self.model.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        hidden_BSD: Tensor = self.model.encoder.embedding_hidden_mapping_in(embedded_BSE)
        return hidden_BSD

    @property
    def blocks(self) -> nn.ModuleList:
        """Groups of inner layers."""
        groups: nn.ModuleList = self.model.encoder.albert_layer_groups
        return groups

    def block(self, layer: int) -> nn.Module:
        """Return the inner layer of layer `layer` (0-based)."""
        group: Any = self.blocks[self._group(layer)]
        block: nn.Module = group.albert_layers[layer % self._inner]
        return block

    def cut(self, num_layers: int) -> None:
        """Remove the groups that the first `num_layers` layers do not use, and unused inner layers of a single step."""
        self._used = num_layers
        del self.blocks[self._group(num_layers - 1) + 1 :]
        if num_layers < self._inner:
            only: Any = self.blocks[0]
            del only.albert_layers[num_layers:]

    def layers_of(self, name: str) -> tuple[int, ...]:
        """Return the layers, from 1, that share the parameter `name`; see `Backbone.layers_of`."""
        numbers = re.search(r"albert_layer_groups\.(\d+)\.albert_layers\.(\d+)\.", name)
        if numbers is None:
            return (0,)
        place = int(numbers[1]), int(numbers[2])
        return tuple(n + 1 for n in range(self._used) if (self._group(n), n % self._inner) == place)

    def _group(self, layer: int) -> int:
        return int(layer // self._inner / self._steps_per_group)

    @staticmethod
    def project(block: Any, hidden_BSD: Tensor, context: Context) -> KeysValues:
        """Project the tokens to the keys and values of a layer."""
        attention = block.attention
        width = attention.attention_head_size
        keys, values = attention.key(hidden_BSD), attention.value(hidden_BSD)
        return KeysValues(split_heads(keys, width), split_heads(values, width))

    @staticmethod
    def pass_rows(
        block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None, context: Context
    ) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer."""
        attention = block.attention
        context_BRD = attend(
            split_heads(attention.query(query_BRD), attention.attention_head_size),
            keys_values,
            mask_BS,
            dropout=attention.attention_dropout.p if attention.training else 0.0,
        )
        attended_BRD = attention.LayerNorm(query_BRD + attention.output_dropout(attention.dense(context_BRD)))
        passed_BRD: Tensor = block.full_layer_layer_norm(block.ff_chunk(attended_BRD) + attended_BRD)
        return passed_BRD
