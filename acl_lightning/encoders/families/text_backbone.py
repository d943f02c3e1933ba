"""Base class of backbones of texts."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from acl_lightning.encoders.backbone import TokenState
from acl_lightning.encoders.families.model_backbone import ModelBackbone


class TextBackbone(ModelBackbone):
    """Encoder of token ids. A family defines `embed_tokens`.

    Args:
        model: See `ModelBackbone`.
        settings: Settings of `ModelBackbone`.
    """

    def __init__(self, model: nn.Module, **settings: bool) -> None:
        super().__init__(model, **settings)
        config: Any = model.config
        self.max_tokens = config.max_position_embeddings

    @abstractmethod
    def embed_tokens(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """Return the input (B, S, D) of layer 0."""

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> TokenState:
        """Embed token ids (B, S).

        On the CPU a batch without padding gets no mask, which is faster. On an accelerator the mask is always kept,
        since inspecting it would make the host wait for the device, and so it is in an exported graph, which is for any
        batch.

        Raises:
            UserError: There are more tokens than position embeddings.
        """
        self.check_length(input_ids.shape[1])
        hidden_BSD = self.embed_tokens(input_ids, attention_mask, token_type_ids)
        mask_BS = attention_mask.bool()
        inspected = mask_BS.device.type == "cpu" and not torch.compiler.is_exporting()
        unpadded = inspected and bool(mask_BS.all())
        return TokenState(hidden_BSD, None if unpadded else mask_BS)
