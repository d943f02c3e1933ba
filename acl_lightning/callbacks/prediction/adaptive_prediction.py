"""Callback of `predict`: adaptive inference, and a JSON line per sample."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from acl_lightning.callbacks.prediction.answers import predicted_row, prediction_answers
from acl_lightning.callbacks.prediction.measured_run import read_operating_point, read_temperatures
from acl_lightning.callbacks.prediction.output_file import PredictionFile, weights_hash
from acl_lightning.errors import UserError
from acl_lightning.exits import Criterion, Static, temperatures_of, to_config
from acl_lightning.exits.inference import AdaptiveRuntime
from acl_lightning.runs.names import PREDICTIONS
from acl_lightning.training.evaluation_module import EvaluationModule
from acl_lightning.training.trainer_attributes import datamodule_of


class AdaptivePrediction(Callback):
    """Predicts with an early exit and writes `predictions.jsonl`, or a CSV file if `output` ends with `.csv`.

    One line per sample, in the order of the file that was read: its `index`, its text fields (for a table: all columns
    of its row), `label` (the class name, or the value for regression) and `exit_layer`. A column of the input with the
    name of a field of the output is written with `input_` before it. A classification has further fields:
    `confidence` (the largest probability), `calibrated` (whether the probabilities are those of the temperatures that
    the run fitted with `exit_sweep.calibrate`; otherwise they are the plain softmax), and, on request, `probabilities`
    (by class name).
    Where the logits are not finite, `label`, `confidence` and `probabilities` are null, and a warning counts the rows.

    Rows are written batch by batch, so memory does not grow with their number. The file gets its name when it is
    complete; a prediction that was killed continues where it stopped when the same command is repeated with the same
    `run_dir` (see `PredictionFile`).

    Args:
        criterion: Exit criterion. None: the criterion of the operating point; full depth without an operating point.
        threshold: A sample leaves at the first exit whose certainty reaches the threshold. Required with a criterion.
        operating_point: Name of an operating point of the checkpoint's run: that of a budget of its sweep, such as
            `drop1` or `speed2`, or a point that the command `points` added.
        output: File to write, JSON Lines or, with the suffix `.csv`, CSV; a relative path is a path in the run
            directory.
        probabilities: Whether to write the probabilities of all classes.

    Raises:
        UserError: The threshold is out of the criterion's range, a criterion has no threshold, a criterion and an
            operating point are both set, or there is no operating point of that name (the names that exist are listed).
    """

    def __init__(
        self,
        criterion: Criterion | None = None,
        threshold: float | None = None,
        operating_point: str | None = None,
        output: str = PREDICTIONS,
        probabilities: bool = False,
    ) -> None:
        if operating_point is not None and (criterion is not None or threshold is not None):
            raise UserError(
                "an operating point, or a criterion and a threshold",
                "both",
                "Remove exit.criterion and exit.threshold.",
            )
        if (criterion is None) != (threshold is None):
            raise UserError(
                "a criterion and a threshold together", "one of them", "Set both exit.criterion and exit.threshold."
            )
        if criterion is not None and threshold is not None:
            criterion.check_threshold(threshold)
        self.criterion, self.threshold = criterion, threshold
        self.operating_point = operating_point
        self.output = output
        self.probabilities = probabilities
        self._leaving: tuple[Criterion, float] = (Static(), 1.0)
        self._temperatures_E: tuple[float, ...] | None = None
        self._file: PredictionFile | None = None
        self._is_open = False
        self._reorders = False  # whether batches of similar lengths arrive, see `TokenBudgetSampler`
        self._waiting: dict[int, dict[str, Any]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set the function that gives the DataModule the number of the first batch."""
        data = datamodule_of(trainer)
        if stage == "predict" and _continues(data):
            data.first_predict_batch = lambda: self._open(trainer, pl_module)

    def _open(self, trainer: Trainer, pl_module: LightningModule) -> int:
        """Open the output file after the checkpoint was loaded, and return the number of batches that it contains."""
        self._leaving = self._exit_rule(trainer, pl_module)
        num_exits = len(cast(EvaluationModule, pl_module).exit_layers)
        self._temperatures_E = temperatures_of(self._leaving[0], read_temperatures(trainer.ckpt_path, num_exits))
        first_batch = 0
        if trainer.is_global_zero:
            path = Path(trainer.default_root_dir) / self.output
            self._file = PredictionFile(path, self._identity(trainer, pl_module))
            first_batch = self._resume(trainer)
        self._is_open, self._waiting = True, {}
        self._reorders = getattr(datamodule_of(trainer), "max_tokens_per_batch", None) is not None
        return trainer.strategy.broadcast(first_batch)

    def _exit_rule(self, trainer: Trainer, pl_module: LightningModule) -> tuple[Criterion, float]:
        """Return criterion and threshold at which samples leave."""
        criterion, threshold = self.criterion, self.threshold
        num_exits = len(cast(EvaluationModule, pl_module).exit_layers)
        if self.operating_point is not None:
            criterion, threshold = read_operating_point(trainer.ckpt_path, self.operating_point)
        if criterion is None or threshold is None:
            criterion, threshold = Static(), float(num_exits)
        criterion.check_reachable(threshold, num_exits)
        return criterion, threshold

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build the adaptive runtime."""
        if not self._is_open:
            self._open(trainer, pl_module)
        module = cast(EvaluationModule, pl_module)
        module.runtime = AdaptiveRuntime(module.encoder, *self._leaving)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the rows of the batch; with several processes rank zero writes the rows of all of them."""
        data, module = datamodule_of(trainer), cast(EvaluationModule, pl_module)
        answers = prediction_answers(
            outputs["logits_BC"],
            outputs["exit_layer_B"],
            label_names=module.label_names,
            exit_layers=module.exit_layers,
            temperatures_E=self._temperatures_E,
            all_classes=self.probabilities,
        )
        rows = [
            predicted_row(index, fields, answer)
            for index, fields, answer in zip(
                batch["index"].tolist(), data.prediction_fields(batch), answers, strict=True
            )
        ]
        if trainer.world_size > 1:
            shares: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(shares, rows)
            rows = [row for share in shares for row in share]
        if self._file is not None:
            self._file.write(self._in_order(rows, self._file.num_rows))

    def _in_order(self, rows: list[dict[str, Any]], next_row: int) -> list[dict[str, Any]]:
        """Return the rows in row order. Rows that follow a missing row are kept until it arrives, if any can.

        Args:
            rows: Rows of a batch, with repeated ones.
            next_row: Index of the next row of the file.
        """
        if not self._reorders:
            return sorted(rows, key=lambda row: int(row["index"]))
        self._waiting |= {int(row["index"]): row for row in rows if row["index"] >= next_row}
        ready = []
        while next_row in self._waiting:
            ready.append(self._waiting.pop(next_row))
            next_row += 1
        return ready

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rename the complete file.

        Raises:
            UserError: No sample has finite logits.
        """
        file, self._file = self._file, None
        if file is None:
            return
        if file.num_undefined == file.num_rows > 0:
            file.close()
            file.part.unlink()
            raise UserError(
                "finite logits",
                f"none in {file.num_rows} samples",
                "The training diverged: set --ckpt_path to an earlier checkpoint, or train again.",
            )
        file.finish()
        if file.num_undefined:
            warnings.warn(
                f"{file.num_undefined} of {file.num_rows} samples have logits that are not finite: their label is null",
                stacklevel=2,
            )
        print(f"{file.num_rows} predictions written to {file.path}")  # noqa: T201 - the command's answer

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the part file of a prediction that failed."""
        self._stop(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the part file of a prediction that failed."""
        self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._is_open = False
        data = datamodule_of(trainer)
        if _continues(data):
            data.first_predict_batch = None

    def _resume(self, trainer: Trainer) -> int:
        """Return the number of batches per process in the part file. The last batch is always predicted again."""
        assert self._file is not None
        data = datamodule_of(trainer)
        again = _continues(data) and data.prediction_hash() is not None
        if not again or trainer.limit_predict_batches != 1.0:
            return self._file.resume(1, at_most=0)  # keeps no row
        rows: int = data.rows_per_prediction(trainer.world_size)
        num_rows = data.num_prediction_rows()
        complete = self._file.resume(rows) if num_rows is None else num_rows
        # Lightning calls no hook of an empty loader, so at least a batch is left.
        return self._file.resume(rows, at_most=max(0, complete - 1)) // rows

    def _identity(self, trainer: Trainer, pl_module: LightningModule) -> str:
        """Return a hash of everything that the rows depend on: weights, data, batches, criterion and fields."""
        data = datamodule_of(trainer)
        criterion, threshold = self._leaving
        settings = {
            "weights": weights_hash(pl_module),
            "split": data.predict_split,
            "rows": data.prediction_hash() if _continues(data) else None,
            "batches": [
                getattr(data, "max_tokens_per_batch", None) or getattr(data, "eval_batch_size", None),
                trainer.world_size,
                str(trainer.precision),
            ],
            "exit": [to_config(criterion), threshold, self._temperatures_E],
            "fields": [self.probabilities, cast(EvaluationModule, pl_module).label_names],
        }
        return hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()[:10]


def _continues(data: object) -> bool:
    """Whether a DataModule can begin a prediction at a later batch."""
    return hasattr(data, "first_predict_batch")
