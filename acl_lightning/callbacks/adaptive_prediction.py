"""`predict`: sets where samples leave, and writes one JSON line per sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, Static, from_recipe
from acl_lightning.exits.runtime import AdaptiveRuntime
from acl_lightning.files import write_text_atomically
from acl_lightning.run_result import named_point, read_result


class AdaptivePrediction(Callback):
    """Predict with an early exit and write `predictions.jsonl`.

    One line per sample, in the order of the file that was read: its index, its text fields, `label` (the class name, or
    the value for regression), `confidence` (the largest probability; absent for regression) and `exit_layer`.

    Args:
        criterion: certainty of an exit. None: taken from the operating point, or full depth if there is none either.
        threshold: a sample leaves at the first exit whose certainty reaches it. Required with a criterion.
        operating_point: Name of an operating point of the checkpoint's run ("loss0", "loss1", "loss2", and those that
            `points` added): its criterion and threshold.
        output: file to write; a relative path lies in the run directory.

    Raises:
        UserError: a threshold out of the criterion's range, a criterion without threshold or beside an operating point,
            an operating point that does not exist (those that do are listed).
    """

    def __init__(
        self,
        criterion: Criterion | None = None,
        threshold: float | None = None,
        operating_point: str | None = None,
        output: str = "predictions.jsonl",
    ) -> None:
        if operating_point is not None and (criterion is not None or threshold is not None):
            raise UserError(
                "an operating point, or a criterion and a threshold",
                "both",
                "Remove exit.criterion and exit.threshold.",
            )
        if (criterion is None) != (threshold is None):
            raise UserError("a criterion and a threshold together", "one of them", "Give both.")
        if criterion is not None and threshold is not None:
            criterion.check_threshold(threshold)
        self.criterion, self.threshold = criterion, threshold
        self.operating_point = operating_point
        self.output = output
        self._records: dict[int, dict[str, Any]] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build the adaptive runtime; at this point the checkpoint is loaded."""
        criterion, threshold = self.criterion, self.threshold
        if self.operating_point is not None:
            criterion, threshold = read_operating_point(trainer.ckpt_path, self.operating_point)
        if criterion is None or threshold is None:
            layers: tuple[int, ...] = pl_module.exit_layers  # type: ignore[assignment]
            criterion, threshold = Static(), float(len(layers))
        criterion.check_reachable(threshold, len(pl_module.exit_layers))  # type: ignore[arg-type]
        pl_module.runtime = AdaptiveRuntime(pl_module.encoder, criterion, threshold)  # type: ignore[assignment, arg-type]
        self._records = {}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what was decided, by row number."""
        names: list[str] = pl_module.label_names  # type: ignore[assignment]
        self._records |= dict(zip(batch["index"].tolist(), _records(outputs, names), strict=True))

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, whole or not at all; with several processes rank zero writes what all of them predicted."""
        records = self._records
        if trainer.world_size > 1:
            shares: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(shares, records)
            records = {index: record for share in shares for index, record in share.items()}
        if not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        path = Path(trainer.default_root_dir) / self.output
        rows = (
            {"index": index, **data.texts(data.predict_split, index), **records[index]} for index in sorted(records)
        )
        write_text_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(f"{len(records)} predictions written to {path}")  # noqa: T201 - the command's answer


def _records(outputs: dict[str, Tensor], label_names: list[str]) -> list[dict[str, Any]]:
    layers = outputs["exit_layer_B"].tolist()
    if not label_names:
        values = outputs["logits_BC"].float().squeeze(-1).tolist()
        return [{"label": value, "exit_layer": layer} for value, layer in zip(values, layers, strict=True)]
    confidence_B, label_B = outputs["logits_BC"].float().softmax(dim=-1).max(dim=-1)
    return [
        {"label": label_names[label], "confidence": confidence, "exit_layer": layer}
        for label, confidence, layer in zip(label_B.tolist(), confidence_B.tolist(), layers, strict=True)
    ]


def read_operating_point(checkpoint: object, name: str) -> tuple[Criterion, float]:
    """Return the criterion and the threshold of the operating point `name` of a checkpoint's run.

    The run directory is the parent of the checkpoint's directory (`RUN/checkpoints/best.ckpt`).

    Raises:
        UserError: there is no checkpoint, no `result.json` beside it, no such name, or it was measured on another
            checkpoint.
    """
    if not checkpoint:
        raise UserError("a checkpoint for an operating point", "none", "Give --ckpt_path RUN/checkpoints/best.ckpt.")
    try:
        result = read_result(Path(str(checkpoint)).resolve().parent.parent)
    except UserError as error:
        remedy = "Run `validate` into that directory, or give a threshold."
        raise UserError(error.expected, error.found, remedy) from error
    point = named_point(result, name, "Choose a point with `points RUN`, for example points RUN --speed 2.")
    measured = result.get("checkpoint")
    if measured and Path(measured).name != Path(str(checkpoint)).name:
        raise UserError(
            f"the checkpoint that {name!r} was measured on, {measured}",
            f"{checkpoint}",
            "Thresholds do not carry over.",
        )
    return from_recipe(point["exit"]), float(point["threshold"])
