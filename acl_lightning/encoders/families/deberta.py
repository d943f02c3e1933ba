"""Backbone of the DeBERTa-v2 and v3 family, with disentangled attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from acl_lightning.encoders.backbone import KeysValues
from acl_lightning.encoders.families.attention import attend, row_positions, split_heads
from acl_lightning.encoders.families.model_backbone import Context
from acl_lightning.encoders.families.text_backbone import TextBackbone
from acl_lightning.errors import UserError


@dataclass(frozen=True)
class DisentangledKeysValues(KeysValues):
    """Keys and values of the tokens, and the projections of the P relative positions at a layer.

    Attributes:
        position_keys_HPd: Keys of the relative positions; None without the scores from content to position.
        position_queries_HPd: Queries of the relative positions; None without the scores from position to content.
    """

    position_keys_HPd: Tensor | None
    position_queries_HPd: Tensor | None

    def select(self, rows: Tensor, length: int) -> DisentangledKeysValues:
        """Keep the samples `rows` and their first `length` tokens; positions are shared by all samples."""
        kept = super().select(rows, length)
        return DisentangledKeysValues(
            kept.keys_BHSd, kept.values_BHSd, self.position_keys_HPd, self.position_queries_HPd
        )


class DebertaFamily(TextBackbone):
    """DeBERTa-v2 or v3, stepped through the submodules of its layers: post-norm, without pooler.

    The score of row r and token s is `(q_r k_s + q_r K_p(r - s) + k_s Q_p(r - s)) / sqrt(d n)`, with the projections
    K_p and Q_p of the relative position and the number n of terms (He et al., ICLR 2021). Exit rows have the position
    of [CLS], see `row_positions`.

    Args:
        model: `DebertaV2Model`.
        settings: Settings of `ModelBackbone`.

    Raises:
        UserError: The model has a convolution after its first layer (v2-xlarge, v2-xxlarge): an exit row would need its
            neighbours.
    """

    def __init__(self, model: nn.Module, **settings: bool) -> None:
        super().__init__(model, **settings)
        if self.model.encoder.conv is not None:
            raise UserError(
                "a DeBERTa without convolution",
                f"conv_kernel_size = {self.model.config.conv_kernel_size} in its config.json",
                "Set model.encoder.backbone to a DeBERTa-v3, such as microsoft/deberta-v3-base.",
            )

    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Return the input (B, S, D) of layer 0."""
        hidden_BSD: Tensor = self.model.embeddings(
            input_ids=input_ids, token_type_ids=token_type_ids, mask=attention_mask
        )
        return hidden_BSD

    @property
    def blocks(self) -> nn.ModuleList:
        """Modules of the layers."""
        blocks: nn.ModuleList = self.model.encoder.layer
        return blocks

    def token_context(self, layer: int, hidden_BSD: Tensor) -> Context:
        """Return the embeddings (P, D) of the relative positions; nothing for absolute positions."""
        embeddings_PD = self.model.encoder.get_rel_embedding()
        return () if embeddings_PD is None else (embeddings_PD,)

    def row_context(self, layer: int, query_BRD: Tensor, num_tokens: int) -> Context:
        """Return the indices (R, S) of the relative positions r - s and s - r; nothing for absolute positions."""
        encoder = self.model.encoder
        if not encoder.relative_attention:
            return ()
        positions_R = row_positions(query_BRD.shape[1], num_tokens, query_BRD.device)
        offset_RS = positions_R[:, None] - torch.arange(num_tokens, device=query_BRD.device)
        span = encoder.max_relative_positions
        if encoder.position_buckets > 0:
            offset_RS = make_log_bucket_position(offset_RS, encoder.position_buckets, span).long()
            span = encoder.position_buckets
        return ((offset_RS + span).clamp(0, 2 * span - 1),)

    @staticmethod
    def project(block: Any, hidden_BSD: Tensor, context: Context) -> KeysValues:
        """Project the tokens and the relative positions to the keys and values of a layer."""
        attention = block.attention.self
        width = attention.attention_head_size
        keys = split_heads(attention.key_proj(hidden_BSD), width)
        values = split_heads(attention.value_proj(hidden_BSD), width)
        to_position = to_content = None
        if context:
            embeddings_1PD = attention.pos_dropout(context[0])[None]
            shared = attention.share_att_key
            if "c2p" in attention.pos_att_type:
                projection = attention.key_proj if shared else attention.pos_key_proj
                to_position = split_heads(projection(embeddings_1PD), width)[0]
            if "p2c" in attention.pos_att_type:
                projection = attention.query_proj if shared else attention.pos_query_proj
                to_content = split_heads(projection(embeddings_1PD), width)[0]
        return DisentangledKeysValues(keys, values, to_position, to_content)

    @staticmethod
    def pass_rows(
        block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None, context: Context
    ) -> Tensor:
        """Pass R rows per sample (B, R, D) through a layer."""
        assert isinstance(keys_values, DisentangledKeysValues)
        attention = block.attention.self
        query_BHRd = split_heads(attention.query_proj(query_BRD), attention.attention_head_size)
        terms = 1 + ("c2p" in attention.pos_att_type) + ("p2c" in attention.pos_att_type)
        scale = (attention.attention_head_size * terms) ** -0.5
        context_BRD = attend(
            query_BHRd,
            keys_values,
            mask_BS,
            dropout=attention.dropout.p if attention.training else 0.0,
            bias_BHRS=_position_scores(query_BHRd, keys_values, context[0], scale) if context else None,
            scale=scale,
        )
        attended_BRD = block.attention.output(context_BRD, query_BRD)
        passed_BRD: Tensor = block.output(block.intermediate(attended_BRD), attended_BRD)
        return passed_BRD


def _position_scores(
    query_BHRd: Tensor, keys_values: DisentangledKeysValues, index_RS: Tensor, scale: float
) -> Tensor | None:
    """Return the scaled scores (B, H, R, S) of rows with positions and of tokens with positions.

    Args:
        query_BHRd: Queries of the rows.
        keys_values: Keys of the tokens, and projections of the positions.
        index_RS: Index of the relative position r - s of row r and token s.
        scale: Factor of the scores.
    """
    size = (*query_BHRd.shape[:2], *index_RS.shape)
    scores: list[Tensor] = []
    if keys_values.position_keys_HPd is not None:
        of_rows_BHRP = query_BHRd @ keys_values.position_keys_HPd.transpose(-1, -2)
        scores.append(of_rows_BHRP.gather(-1, index_RS.expand(size)))
    if keys_values.position_queries_HPd is not None:
        of_tokens_BHPS = keys_values.position_queries_HPd @ keys_values.keys_BHSd.transpose(-1, -2)
        scores.append(of_tokens_BHPS.gather(-2, index_RS.expand(size)))
    return torch.stack(scores).sum(dim=0) * scale if scores else None
