"""LightningModule that validates, tests and predicts with a multi-exit encoder."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, full_like

from acl_lightning.encoders import MultiExitEncoder, exit_flops, full_depth_flops, model_inputs, static_exit_flops
from acl_lightning.errors import UserError
from acl_lightning.exits.inference import AdaptiveRuntime
from acl_lightning.metrics import check_metrics, quality
from acl_lightning.outputs import ExitOutputs
from acl_lightning.pretrained import check_tokenizer
from acl_lightning.training.exit_metrics import ExitMetrics
from acl_lightning.training.trainer_attributes import datamodule_of, selection_source

Batch = dict[str, Tensor]

#: Columns of a batch that a validation step gives to the callbacks.
KEPT = ("labels", "index", "selection", "difficulty")


class EvaluationModule(LightningModule):
    """Validates, tests and predicts with a multi-exit encoder; the subclass `ACLModule` trains it.

    Args:
        encoder: Multi-exit encoder.
        label_names: Names of the classes; empty for regression.
        metric_names: Metrics of the task, the primary metric first.
        task_name: Name of the task, for titles and result files.
    """

    def __init__(
        self, encoder: MultiExitEncoder, label_names: list[str], metric_names: list[str], task_name: str
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.label_names = label_names
        self.metric_names = metric_names
        self.task_name = task_name
        self.num_labels = max(1, len(label_names))
        check_metrics(metric_names, len(label_names))
        self.exit_metrics = ExitMetrics(metric_names, encoder.exit_layers)
        self.runtime: AdaptiveRuntime | None = None

    def setup(self, stage: str) -> None:
        """Check that the encoder fits the tokenizer of the DataModule.

        Raises:
            UserError: A token id, token type id or position has no embedding; see `check_tokenizer`.
        """
        data = datamodule_of(self.trainer)
        tokenizer, model = getattr(data, "tokenizer", None), getattr(self.encoder.backbone, "model", None)
        if tokenizer is not None and model is not None:
            check_tokenizer(
                tokenizer,
                model.config,
                max_tokens=self.encoder.backbone.max_tokens,
                max_length=getattr(data, "max_length", 0),
                num_texts=len(getattr(getattr(data, "info", None), "text_columns", ["text"])),
            )

    def forward(self, batch: Batch) -> ExitOutputs:
        """Return the outputs of every exit for a batch."""
        outputs: ExitOutputs = self.encoder(**model_inputs(batch))
        return outputs

    # -- for callbacks ---------------------------------------------------------------------------------------------

    @property
    def exit_layers(self) -> tuple[int, ...]:
        """Layer of each exit, from 1."""
        return self.encoder.exit_layers

    @property
    def depth(self) -> int:
        """Number of layers of the encoder."""
        return self.encoder.depth

    def exit_flops(self, num_tokens: int) -> tuple[float, ...]:
        """Return the FLOPs of a sample of `num_tokens` tokens that leaves at each exit."""
        return exit_flops(self.encoder, num_tokens)

    def static_exit_flops(self, num_tokens: int) -> tuple[float, ...]:
        """Return the FLOPs of a sample of `num_tokens` tokens at each exit if no other exit is computed."""
        return static_exit_flops(self.encoder, num_tokens)

    def full_depth_flops(self, num_tokens: int) -> float:
        """Return the FLOPs of all layers and the last head."""
        return full_depth_flops(self.encoder, num_tokens)

    def cosines(self, embeddings_EBD: Tensor) -> Tensor:
        """Return the cosines (E, B, C) of inputs of the classifiers and the label embeddings, without a graph."""
        with torch.no_grad():
            return torch.stack([self.encoder.cosines(exit_, rows) for exit_, rows in enumerate(embeddings_EBD)])

    def quality(self, name: str, predictions_n: Tensor, labels_n: Tensor) -> float:
        """Return a metric of the task, by its name."""
        return quality(name, predictions_n, labels_n)

    # -- evaluation -------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Reset the metrics."""
        self._fresh_metrics(self.trainer.val_dataloaders)

    def on_test_epoch_start(self) -> None:
        """Reset the metrics."""
        self._fresh_metrics(self.trainer.test_dataloaders)

    def _fresh_metrics(self, loaders: Any) -> None:
        num_sets = len(loaders) if isinstance(loaders, list | tuple) else 1
        self.exit_metrics = ExitMetrics(
            self.metric_names,
            self.exit_layers,
            num_sets=num_sets,
            world_size=self.trainer.world_size,
            selection_counts=selection_source(self.trainer) == "validation",
        )

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Update the metrics of every exit. Return logits, embeddings and columns of the batch for the callbacks."""
        outputs = self._evaluate(batch, dataloader_idx)
        kept = {key: batch[key] for key in KEPT if key in batch}
        if outputs.gates_EB is not None:
            kept["gates_EB"] = outputs.gates_EB
        return {
            "logits_EBC": outputs.logits_EBC,
            "embeddings_EBD": outputs.embeddings_EBD,
            "num_tokens": self._num_tokens(batch),
            **kept,
        }

    def _num_tokens(self, batch: Batch) -> Tensor:
        """Return the number of tokens (B,) of each sample; all images have the same number."""
        if "attention_mask" in batch:
            return batch["attention_mask"].sum(dim=1)
        return full_like(batch["index"], self.encoder.backbone.max_tokens)

    def on_validation_batch_end(self, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Refuse logits that are not finite after the last batch, before a callback evaluates them."""
        if batch_idx + 1 == self.trainer.num_val_batches[dataloader_idx]:
            self.exit_metrics.check_finite(dataloader_idx)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Update the metrics of every exit."""
        self._evaluate(batch, dataloader_idx)

    def _evaluate(self, batch: Batch, dataloader_idx: int) -> ExitOutputs:
        if "labels" not in batch:
            raise UserError("labelled validation data", "no labels", "Evaluate a split with labels.")
        outputs: ExitOutputs = self(batch).detached()
        self.exit_metrics.update(
            outputs.logits_EBC.float(),
            batch["labels"],
            selection_B=batch.get("selection"),
            index_B=batch.get("index"),
            number=dataloader_idx,
        )
        return outputs

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of every exit, and `val/selection`, the quality on the selection split.

        The metrics are those of the whole validation split: of both the selection split and the report split, or of the
        report split alone if the selection split is taken from the training rows (`data.selection=train`).
        The best checkpoint is the checkpoint with the largest `val/selection`.

        Raises:
            UserError: Logits are not finite.
        """
        self._log_metrics("val")
        quality_E = self.exit_metrics.on_selection_split()
        if quality_E is not None:
            self.log("val/selection", self.selection(quality_E.to(self.device)), prog_bar=True)

    def selection(self, quality_E: Tensor) -> Tensor:
        """Return the value of `val/selection`: the mean over the exits of the primary metric."""
        return quality_E.mean()

    def on_test_epoch_end(self) -> None:
        """Log the metrics of every exit."""
        self._log_metrics("test")

    def _log_metrics(self, stage: str) -> None:
        """Log `val/exit_3/accuracy` and, for the deepest exit, `val/accuracy`; under `val_1/` for a second set."""
        for number, layer, values in self.exit_metrics.compute():
            prefix = f"{stage}_{number}" if number else stage
            self.log_dict({f"{prefix}/exit_{layer}/{name}": value for name, value in values.items()})
            if layer == self.exit_layers[-1]:
                self.log_dict({f"{prefix}/{name}": value for name, value in values.items()}, prog_bar=True)

    # -- prediction -------------------------------------------------------------------------------------------------

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Batch:
        """Predict with the adaptive runtime that the callback `AdaptivePrediction` sets.

        Returns:
            `logits_BC` of the exit at which each sample leaves, and `exit_layer_B`. It is a dictionary because
            Lightning copies outputs.
        """
        if self.runtime is None:
            raise UserError("an exit criterion", "none", "Add the callback AdaptivePrediction, or set module.runtime.")
        decisions = self.runtime(**model_inputs(batch))
        return {"logits_BC": decisions.logits_BC, "exit_layer_B": decisions.exit_layer_B}
