"""Quality of every class and confusion matrix at every exit, after a validation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from acl_lightning.callbacks.logger_media import show_table
from acl_lightning.callbacks.run_figures import write_figure
from acl_lightning.errors import UserError
from acl_lightning.exits import SplitSizes
from acl_lightning.figures import confusion_figure
from acl_lightning.files import write_text_atomically
from acl_lightning.outputs import predictions
from acl_lightning.runs.names import CLASS_REPORT, CONFUSION, CONFUSION_FIGURE
from acl_lightning.runs.records.tables import csv_text
from acl_lightning.training.sample_columns import Columns, gathered, joined
from acl_lightning.training.trainer_attributes import selection_source

REPORT_HEADER = ("exit_layer", "class", "support", "predicted", "precision", "recall", "f1")
CONFUSION_HEADER = ("exit_layer", "class", "prediction", "samples")


class ClassReport(Callback):
    """Counts labels and predictions of every class at every exit, on the report split of the first validation set.

    Runs in `validate` only (the command line validates the best checkpoint after `fit`), not in the validations during
    training. Rank zero writes into the run directory:

    - `class_report.csv`: a row per exit and class with `support` (number of samples with this label), `predicted`
      (number of predictions), `precision`, `recall` and `f1`; a ratio with nothing below the line is empty;
    - `confusion.csv`: a row per exit and pair of label and prediction that occurs, with the number of `samples`;
    - `confusion.png`: the matrices of the first, a middle and the last exit; of many classes those that are confused
      most often.

    Args:
        figure_classes: Largest number of classes in the figure.

    Raises:
        UserError: `figure_classes` is less than 2, or the task is a regression.
    """

    def __init__(self, figure_classes: int = 20) -> None:
        if figure_classes < 2:
            raise UserError("figure_classes of at least 2", f"{figure_classes}", "Set figure_classes to 20.")
        self.figure_classes = figure_classes
        self._batches: list[Columns] = []

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear the predictions of an earlier validation."""
        self._batches = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the predictions of a batch of the first validation set."""
        if trainer.state.fn != TrainerFn.VALIDATING or dataloader_idx or not getattr(pl_module, "label_names", None):
            return
        labels_B = outputs["labels"].cpu()
        self._batches.append(
            {
                "predictions_BE": predictions(outputs["logits_EBC"]).T.cpu(),
                "labels": labels_B,
                "index": outputs["index"].cpu(),
                "selection": outputs.get("selection", torch.zeros_like(labels_B)).bool().cpu(),
            }
        )

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count, write the files, and inform the loggers."""
        if trainer.state.fn != TrainerFn.VALIDATING or not self._batches:
            return
        columns = gathered(joined(self._batches), trainer.world_size)
        self._batches = []
        if not trainer.is_global_zero:
            return
        reported_n = ~columns["selection"]
        labels_n, predictions_nE = columns["labels"][reported_n], columns["predictions_BE"][reported_n]
        module: Any = pl_module
        matrices = {
            layer: confusion_pairs(predictions_n, labels_n)
            for layer, predictions_n in zip(module.exit_layers, predictions_nE.T, strict=True)
        }
        sizes = SplitSizes(len(reported_n) - len(labels_n), len(labels_n), selection_source(trainer))
        self._publish(trainer, matrices, list(module.label_names), f"{module.task_name}, {sizes.report_name}")

    def _publish(
        self, trainer: Trainer, matrices: dict[int, dict[tuple[int, int], int]], names: list[str], title: str
    ) -> None:
        directory = Path(trainer.default_root_dir)
        report = [row for layer, pairs in matrices.items() for row in class_rows(layer, pairs, names)]
        pairs = [
            (layer, names[label], names[prediction], count)
            for layer, matrix in matrices.items()
            for (label, prediction), count in sorted(matrix.items())
        ]
        write_text_atomically(directory / CLASS_REPORT, csv_text(REPORT_HEADER, report))
        write_text_atomically(directory / CONFUSION, csv_text(CONFUSION_HEADER, pairs))
        for logger in trainer.loggers:
            show_table(logger, "class_report", REPORT_HEADER, report)
        draw = partial(confusion_figure, matrices, names, title=title, max_classes=self.figure_classes)
        write_figure(trainer, "confusion", CONFUSION_FIGURE, draw)


def confusion_pairs(predictions_n: Tensor, labels_n: Tensor) -> dict[tuple[int, int], int]:
    """Return the number of samples of every pair (label, prediction) that occurs.

    Args:
        predictions_n: Class index that an exit predicts for each sample.
        labels_n: Class index of each sample.

    >>> confusion_pairs(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]))
    {(0, 0): 1, (0, 1): 1, (1, 1): 1}
    """
    pairs, counts = torch.unique(torch.stack([labels_n, predictions_n], dim=1), dim=0, return_counts=True)
    return {
        (int(label), int(prediction)): int(count)
        for (label, prediction), count in zip(pairs.tolist(), counts.tolist(), strict=True)
    }


def class_rows(
    layer: int, pairs: dict[tuple[int, int], int], names: list[str]
) -> list[tuple[int, str, int, int, float | None, float | None, float | None]]:
    """Return the rows of `class_report.csv` for an exit: of the classes that occur as label or prediction.

    Args:
        layer: Layer of the exit.
        pairs: Number of samples of every pair (label, prediction).
        names: Names of the classes.
    """
    support: dict[int, int] = {}
    predicted: dict[int, int] = {}
    for (label, prediction), count in pairs.items():
        support[label] = support.get(label, 0) + count
        predicted[prediction] = predicted.get(prediction, 0) + count
    rows = []
    for index in sorted(support.keys() | predicted.keys()):
        true, answers, hits = support.get(index, 0), predicted.get(index, 0), pairs.get((index, index), 0)
        ratios = (_ratio(hits, answers), _ratio(hits, true), _ratio(2 * hits, true + answers))
        rows.append((layer, names[index], true, answers, *ratios))
    return rows


def _ratio(above: int, below: int) -> float | None:
    return above / below if below else None
