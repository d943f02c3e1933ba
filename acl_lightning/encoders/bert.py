"""Backbones of the BERT family: BERT, RoBERTa and ELECTRA."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from acl_lightning.encoders.backbone import Backbone, KeysValues, TokenState
from acl_lightning.encoders.compilation import compiled


class BertFamily(Backbone):
    """Hugging Face BERT, RoBERTa or ELECTRA model, stepped through the submodules of its layers.

    The three have the same post-norm layer and the same attribute names. They differ in the embeddings (ELECTRA
    projects narrow embeddings to the width, RoBERTa counts positions from the first token that is not padding), and
    ELECTRA has no pooler. Attention uses torch's fused kernel, whatever the attention setting of the model.

    The pooler of the model is removed: it only initialises the poolers of the exits.

    Args:
        model: `BertModel`, `RobertaModel` or `ElectraModel`; it becomes the submodule `model` and is changed in place.
        pooler_is_pretrained: Whether the pooler of the model has pretrained weights.
        gradient_checkpointing: See `Backbone`.
        compile_layers: See `Backbone`.
    """

    #: Number of unused position embeddings after `pad_token_id`, by `model_type`: RoBERTa starts at `pad_token_id + 1`.
    _position_offset: ClassVar[dict[str, int]] = {"roberta": 1}

    def __init__(
        self,
        model: nn.Module,
        *,
        pooler_is_pretrained: bool = True,
        gradient_checkpointing: bool = False,
        compile_layers: bool = False,
    ) -> None:
        super().__init__()
        config: Any = model.config
        pooler: Any = getattr(model, "pooler", None)
        if pooler is not None:
            model.register_module("pooler", None)
        # In a tuple it is no submodule: neither in parameters() nor in checkpoints.
        self._pretrained_pooler = (pooler.dense,) if pooler is not None and pooler_is_pretrained else ()
        self.model: Any = model
        self.width = config.hidden_size
        self.depth = config.num_hidden_layers
        offset = self._position_offset.get(config.model_type)
        self.max_tokens = config.max_position_embeddings - (0 if offset is None else config.pad_token_id + offset)
        self.gradient_checkpointing = gradient_checkpointing
        self.compile_layers = compile_layers

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> TokenState:
        """Embed token ids (B, S).

        On the CPU a batch without padding gets no mask, which is faster. On an accelerator the mask is always kept,
        since inspecting it would make the host wait for the device, and so it is in an exported graph, which is for any
        batch.

        Raises:
            UserError: There are more tokens than position embeddings.
        """
        self.check_length(input_ids.shape[1])
        hidden_BSD = self.model.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        if hasattr(self.model, "embeddings_project"):
            hidden_BSD = self.model.embeddings_project(hidden_BSD)
        mask_BS = attention_mask.bool()
        inspected = mask_BS.device.type == "cpu" and not torch.compiler.is_exporting()
        unpadded = inspected and bool(mask_BS.all())
        return TokenState(hidden_BSD, None if unpadded else mask_BS)

    def keys_values(self, layer: int, state: TokenState) -> KeysValues:
        """Project the tokens to the keys and values of layer `layer` (0-based)."""
        return _keys_values(self.model.encoder.layer[layer], state.hidden_BSD)

    def rows(self, layer: int, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None) -> Tensor:
        """Pass R rows per sample (B, R, D) through layer `layer`: attention over the tokens, output, feed-forward."""
        return _rows(self.model.encoder.layer[layer], query_BRD, keys_values, mask_BS)

    def _read(self, layer: int, query_BRD: Tensor, state: TokenState) -> Tensor:
        block = self.model.encoder.layer[layer]
        whole = compiled(_layer) if self.compile_layers else _layer
        return whole(block, query_BRD, state.hidden_BSD, state.mask_BS)

    def pooler(self) -> nn.Linear | None:
        """Return the linear map of the pretrained pooler; None for ELECTRA and for checkpoints without pooler."""
        return self._pretrained_pooler[0] if self._pretrained_pooler else None

    def cut(self, num_layers: int) -> None:
        """Remove the layers above the first `num_layers`."""
        self.model.encoder.layer = self.model.encoder.layer[:num_layers]


def _layer(block: Any, query_BRD: Tensor, hidden_BSD: Tensor, mask_BS: Tensor | None) -> Tensor:
    """Pass rows through a layer, which is an argument so that all layers share the compiled graphs."""
    return _rows(block, query_BRD, _keys_values(block, hidden_BSD), mask_BS)


def _keys_values(block: Any, hidden_BSD: Tensor) -> KeysValues:
    attention = block.attention.self
    keys, values = attention.key(hidden_BSD), attention.value(hidden_BSD)
    return KeysValues(_split(keys, attention), _split(values, attention))


def _rows(block: Any, query_BRD: Tensor, keys_values: KeysValues, mask_BS: Tensor | None) -> Tensor:
    attention = block.attention.self
    context_BHRd = scaled_dot_product_attention(
        _split(attention.query(query_BRD), attention),
        keys_values.keys_BHSd,
        keys_values.values_BHSd,
        attn_mask=None if mask_BS is None else mask_BS[:, None, None, :],
        dropout_p=attention.dropout.p if attention.training else 0.0,
    )
    attended_BRD = block.attention.output(context_BHRd.transpose(1, 2).flatten(2), query_BRD)
    passed_BRD: Tensor = block.output(block.intermediate(attended_BRD), attended_BRD)
    return passed_BRD


def _split(projected_BRD: Tensor, attention: Any) -> Tensor:
    """Split the width into heads: (B, R, D) -> (B, heads, R, D / heads)."""
    heads = (attention.num_attention_heads, attention.attention_head_size)
    return projected_BRD.view(*projected_BRD.shape[:-1], *heads).transpose(1, 2)
