"""An exported multi-exit encoder as a transformers model with adaptive inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel
from transformers.utils import ModelOutput

from acl_lightning.encoders import ADAPTERS, EXIT_ROWS, ExitHead, MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.exits import temperatures_of
from acl_lightning.exits.inference import AdaptiveRuntime
from acl_lightning.export.config import MultiExitConfig
from acl_lightning.export.served_points import resolve_point


@dataclass
class EarlyExitOutput(ModelOutput):  # type: ignore[misc]
    """Output of the exported model.

    Attributes:
        logits: Logits (B, C) of the exit at which each sample left, divided by the exit's temperature where the run was
            calibrated. Their softmax equals the probabilities that `predict` writes.
        exit_layer: Layer (B,) of that exit, counted from 1.
    """

    logits: Tensor | None = None
    exit_layer: Tensor | None = None


class MultiExitModel(PreTrainedModel):  # type: ignore[misc]
    """Base class of exported models: the encoder, and adaptive inference at an operating point.

    Args:
        config: Configuration of the model.

    Raises:
        UserError: There is no operating point of that name, or the export is one for the other kind of inputs.
    """

    config_class = MultiExitConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: MultiExitConfig) -> None:
        super().__init__(config)
        if config.reads_images != (self.main_input_name == "pixel_values"):
            kind, name = ("images", "Image") if config.reads_images else ("texts", "Sequence")
            raise UserError(
                f"AutoModelFor{name}Classification for an export of a model of {kind}",
                type(self).__name__,
                f"Load it with AutoModelFor{name}Classification.",
            )
        resolve_point(config.operating_points, config.operating_point, config.exit_layers)  # raises for a wrong name
        self.num_labels = config.num_labels
        self.encoder = _encoder(config)
        self.post_init()

    def decide(
        self, batch: Mapping[str, Tensor], operating_point: str | None, *, return_dict: bool | None
    ) -> EarlyExitOutput | tuple[Tensor, ...]:
        """Classify a batch without gradients.

        Args:
            batch: Inputs of the encoder, see `AdaptiveRuntime`.
            operating_point: Name of the operating point. None: `config.operating_point`.
            return_dict: False returns the tuple (logits, exit_layer).

        Raises:
            UserError: There is no operating point of that name.
        """
        config = self.config
        name = operating_point or config.operating_point
        criterion, threshold = resolve_point(config.operating_points, name, config.exit_layers)
        decisions = AdaptiveRuntime(self.encoder, criterion, threshold)(**batch)
        logits_BC = decisions.logits_BC
        temperatures_E = temperatures_of(criterion, config.temperatures)
        if temperatures_E is not None:
            logits_BC = logits_BC / logits_BC.new_tensor(temperatures_E)[decisions.exit_B][:, None]
        output = EarlyExitOutput(logits=logits_BC, exit_layer=decisions.exit_layer_B)
        return output if return_dict is not False else output.to_tuple()


class MultiExitForSequenceClassification(MultiExitModel):
    """Multi-exit sequence classifier for inference.

    The operating point of `config.operating_points` that is named in the call to `forward`, else by
    `config.operating_point`, decides where samples leave; without a name all layers are computed.
    `from_pretrained(DIR, operating_point="drop1")` sets `config.operating_point`. The attribute `encoder` is the
    `MultiExitEncoder`, which returns the outputs of all exits.

    Args:
        config: Configuration of the model.

    Raises:
        UserError: There is no operating point of that name, and the message lists the names that exist; or the export
            is one of a model of images.
    """

    main_input_name = "input_ids"

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        operating_point: str | None = None,
        return_dict: bool | None = None,
    ) -> EarlyExitOutput | tuple[Tensor, ...]:
        """Classify token ids (B, S) without gradients.

        Args:
            input_ids: Token ids (B, S).
            attention_mask: Mask (B, S) with 0 for padding. None: there is no padding.
            token_type_ids: Token type ids (B, S), where the tokenizer has them.
            operating_point: Name of the operating point of this call. None: `config.operating_point`.
            return_dict: False returns the tuple (logits, exit_layer).

        Raises:
            UserError: There is no operating point of that name, or a text has more tokens than the backbone has
                positions.
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if input_ids.shape[1] > self.encoder.backbone.max_tokens:
            raise UserError(
                f"at most {self.encoder.backbone.max_tokens} tokens per text",
                f"{input_ids.shape[1]}",
                "Call the tokenizer with truncation=True.",
            )
        batch = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        inputs = {column: tensor for column, tensor in batch.items() if tensor is not None}
        return self.decide(inputs, operating_point, return_dict=return_dict)


def _encoder(config: MultiExitConfig) -> MultiExitEncoder:
    """Return an untrained encoder of the architecture that a configuration describes."""
    backbone = ADAPTERS[config.backbone_config.model_type](
        AutoModel.from_config(config.backbone_config), pooler_is_pretrained=False
    )
    layers = tuple(config.exit_layers)
    heads = [
        ExitHead(
            backbone.width,
            config.num_labels,
            pooler=config.head_pooler,
            pretrained_pooler=None,
            dropout=config.head_dropout,
        )
        for _ in layers
    ]
    rows = [EXIT_ROWS[config.exit_row](backbone.width) for _ in layers]
    return MultiExitEncoder(
        backbone,
        layers,
        rows,
        heads,
        separate_label_embeddings=config.separate_label_embeddings,
        learnt_gate=config.learnt_gate,
    )
