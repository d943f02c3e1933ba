"""Backbones of the BERT family: BERT, RoBERTa, XLM-RoBERTa and ELECTRA."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from acl_lightning.encoders.backbone import KeysValues
from acl_lightning.encoders.families.attention import attend, split_heads
from acl_lightning.encoders.families.model_backbone import Context
from acl_lightning.encoders.families.text_backbone import TextBackbone


class BertFamily(TextBackbone):
    """BERT, RoBERTa, XLM-RoBERTa or ELECTRA, stepped through the submodules of its layers.

    They have the same post-norm layer and the same attribute names. They differ in the embeddings (ELECTRA projects
    narrow embeddings to the width, RoBERTa counts positions from the first token that is not padding), and ELECTRA has
    no pooler.

    Args:
        model: `BertModel`, `RobertaModel`, `XLMRobertaModel` or `ElectraModel`.
        settings: Settings of `ModelBackbone`.
    """

    #: Number of unused position embeddings after `pad_token_id`, by `model_type`: RoBERTa starts at `pad_token_id + 1`.
    _position_offset: ClassVar[dict[str, int]] = {"roberta": 1, "xlm-roberta": 1}

    def __init__(self, model: nn.Module, **settings: bool) -> None:
        super().__init__(model, **settings)
        config: Any = model.config
        offset = self._position_offset.get(config.model_type)
        self.max_tokens -= 0 if offset is None else config.pad_token_id + offset

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Return the input (B, S, D) of layer 0."""
        hidden_BSD: Tensor = self.model.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        if hasattr(self.model, "embeddings_project"):
            hidden_BSD = self.model.embeddings_project(hidden_BSD)
        return hidden_BSD

    @property
    def blocks(self) -> nn.ModuleList:
        """Modules of the layers."""
        blocks: nn.ModuleList = self.model.encoder.layer
        return blocks

    @staticmethod
    def project(block: Any, hidden_BSD: Tensor, context: Context) -> KeysValues:
        """Project the tokens to the keys and values of a layer."""
        attention = block.attention.self
        width = attention.attention_head_size
        keys, values = attention.key(hidden_BSD), attention.value(hidden_BSD)
        return KeysValues(split_heads(keys, width), split_heads(values, width))

    @staticmethod
    def pass_rows(
        block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None, context: Context
    ) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer."""
        attention = block.attention.self
        context_BRD = attend(
            split_heads(attention.query(query_BRD), attention.attention_head_size),
            keys_values,
            mask_BS,
            dropout=attention.dropout.p if attention.training else 0.0,
        )
        attended_BRD = block.attention.output(context_BRD, query_BRD)
        passed_BRD: Tensor = block.output(block.intermediate(attended_BRD), attended_BRD)
        return passed_BRD
