"""Base of the data modules of texts and images: from the splits of a task to loaders."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Generic, TypedDict, TypeVar, Unpack

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, SequentialSampler

from acl_lightning.data.batch_rows import Batch, BatchRows
from acl_lightning.data.loaders import ResumableLoader, loader_settings, whole_batch
from acl_lightning.data.protocol import Division, SelectionProtocol, SelectionSource
from acl_lightning.data.samplers import RemainingBatches, ShardedBatchSampler, batches_per_epoch
from acl_lightning.data.task_module import TaskDataModule
from acl_lightning.data.tasks import TaskInfo
from acl_lightning.errors import UserError

Rows = TypeVar("Rows", bound=BatchRows)


class Loading(TypedDict):
    """Settings of the loaders; see `SplitDataModule`."""

    batch_size: int
    eval_batch_size: int
    num_workers: int
    shuffle_seed: int
    predict_split: str


class SplitDataModule(TaskDataModule, Generic[Rows]):
    """Splits of a task and their loaders. Subclasses provide the rows.

    Args:
        info: The task.
        protocol: Which rows are trained on, which select, and which are reported.
        batch_size: Number of training rows per device and step.
        eval_batch_size: Number of rows per device and step in evaluation and prediction.
        num_workers: Number of loader processes; 0 loads in the training process.
        shuffle_seed: Seed of the order of the training rows.
        predict_split: Split that `predict` runs over.

    Raises:
        UserError: The split is unknown, or a setting is out of range.

    Attributes:
        first_predict_batch: Function that returns the number of batches that an interrupted prediction has written.
            `AdaptivePrediction` sets it. It is called when the loader is built, because it depends on the checkpoint,
            which is loaded shortly before that.
    """

    def __init__(self, info: TaskInfo, protocol: SelectionProtocol, **loading: Unpack[Loading]) -> None:
        super().__init__()
        self.batch_size, self.eval_batch_size = loading["batch_size"], loading["eval_batch_size"]
        self.num_workers, self.shuffle_seed = loading["num_workers"], loading["shuffle_seed"]
        at_least(1, batch_size=self.batch_size, eval_batch_size=self.eval_batch_size)
        at_least(0, num_workers=self.num_workers)
        self.info, self.protocol = info, protocol
        self.task_name: str = info.name
        self.label_names: list[str] = list(info.label_names)
        self.metrics: list[str] = list(info.metrics)
        self.num_labels: int = info.num_labels
        self.predict_split = info.split(loading["predict_split"])
        self.first_predict_batch: Callable[[], int] | None = None
        self._built: dict[str, Rows] = {}

    # --- splits -------------------------------------------------------------------------------------------------------

    @property
    def selection(self) -> SelectionSource:
        """Split that the selection rows are taken from: `validation` or `train`."""
        return self.protocol.selection

    @property
    def test_splits(self) -> tuple[str, ...]:
        """Splits that `test` runs over."""
        return self.info.validation_splits

    def describe(self) -> dict[str, object]:
        """Return how the rows were selected, as `result.json` stores it under `data`."""
        division = self.__dict__.get("_division")
        return {
            "selection": self.selection,
            "protocol": self.protocol.text,
            "seed": self.protocol.seed,
            "train_rows": None if division is None else len(division.training),
            "selection_rows": None if division is None or self.selection == "validation" else len(division.selection),
        }

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage (`fit`, `validate`, `test`, `predict`), or all splits for None."""
        validation, prediction = self.info.validation_splits, (self.predict_split,)
        splits = {
            "fit": ("train", *validation),
            "validate": validation,
            "test": self.test_splits,
            "predict": prediction,
            None: ("train", *validation, *prediction),
        }
        for split in splits[stage]:
            self.rows(split)
        if stage in {"fit", "validate", None}:
            self.validation_rows(validation[0])

    def rows(self, split: str) -> Rows:
        """Return the rows of a split, loading them at the first call.

        The training split contains the rows that are trained on: without a selection split that is taken from it.

        Raises:
            UserError: The split does not exist, is missing or malformed in the source, or is smaller than
                `train_rows` and `selection_rows` require.
        """
        split = self.info.split(split)
        if split not in self._built:
            self._built[split] = self._build(split)
        return self._built[split]

    def validation_rows(self, split: str) -> Rows:
        """Return the rows that a validation runs over.

        These are the rows of a validation split. If the selection split is taken from the training rows, its rows are
        spread evenly among those of the first validation split. Their `index` is the number of validation rows plus
        their row number in the training split.
        """
        split = self.info.split(split)
        if self.selection == "validation" or split != self.info.validation_splits[0]:
            return self.rows(split)
        if "selection" not in self._built:
            self._built["selection"] = self._build_selection(len(self.rows(split)))
        return self.rows(split).spread(self._built["selection"])

    @abstractmethod
    def texts(self, split: str, index: int) -> dict[str, str]:
        """Return what names row `index` of a split in an output, by column name: its texts, or its file."""

    @cached_property
    def _division(self) -> Division:
        return self.protocol.divide(self._training_labels(), self.info.name)

    @abstractmethod
    def _training_labels(self) -> list[float]:
        """Return the label of every row of the training split."""

    @abstractmethod
    def _build(self, split: str) -> Rows:
        """Return the rows of a split."""

    @abstractmethod
    def _build_selection(self, first_index: int) -> Rows:
        """Return the selection rows that are taken from the training split; `index` counts from `first_index`."""

    # --- loaders ------------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader:
        """Return the training loader, whose order depends on the settings, `shuffle_seed` and the epoch only."""
        rows = self.rows("train")
        # Trainer(overfit_batches=…) trains on the same rows in every epoch.
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        rank, world_size = self._rank()
        sampler = SequentialSampler(rows) if overfits else self._train_sampler(rows, world_size)
        batches = ShardedBatchSampler(sampler, self.batch_size, rank=rank, world_size=world_size)
        return ResumableLoader(rows, batches, **loader_settings(self.num_workers, rank))

    @abstractmethod
    def _train_sampler(self, rows: Rows, world_size: int) -> Sampler[int]:
        """Return the sampler of the training rows."""

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the loader of `validation_rows`; for MNLI a list of two loaders."""
        loaders = [self._in_order(self.validation_rows(split)) for split in self.info.validation_splits]
        return loaders if len(loaders) > 1 else loaders[0]

    def test_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the loaders of `test_splits` in row order; for MNLI a list of two loaders."""
        loaders = [self._in_order(self.rows(split)) for split in self.test_splits]
        return loaders if len(loaders) > 1 else loaders[0]

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of `predict_split` in row order, without batches that are already predicted."""
        first_batch = self.first_predict_batch() if self.first_predict_batch else 0
        return self._in_order(self.rows(self.predict_split), first_batch)

    def rows_per_prediction(self, world_size: int) -> int:
        """Return the number of rows after which an interrupted prediction can continue: those of a global batch."""
        return self.eval_batch_size * world_size

    def prediction_fields(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the fields of each row of a prediction batch that are copied to the output, see `texts`."""
        return [self.texts(self.predict_split, index) for index in batch["index"].tolist()]

    def prediction_hash(self) -> str | None:
        """Return a hash of the rows of `predict`, by which an interrupted prediction is recognised.

        None stands for rows that cannot be read again: such a prediction begins anew.
        """
        return self.rows(self.predict_split).content_hash()

    def num_prediction_rows(self) -> int | None:
        """Return the number of rows of `predict`; None if it is not known before they are read."""
        return len(self.rows(self.predict_split))

    def class_counts(self) -> Tensor:
        """Return the number of training rows of every class, (C,).

        Raises:
            UserError: The task is a regression.
        """
        if not self.label_names:
            raise UserError(
                "a classification task for class weights",
                f"{self.task_name}, a regression",
                "Set class_weights of the cross-entropy to null.",
            )
        return torch.bincount(self.rows("train").columns["labels"], minlength=len(self.label_names))

    def train_batches_per_epoch(self, world_size: int) -> int:
        """Return the number of training batches of each of `world_size` processes in an epoch."""
        return batches_per_epoch(len(self.rows("train")), self.batch_size * world_size)

    def _in_order(self, rows: Rows, first_batch: int = 0) -> DataLoader[Batch]:
        rank, world_size = self._rank()
        batches = RemainingBatches(
            SequentialSampler(rows), self.eval_batch_size, rank=rank, world_size=world_size, first_batch=first_batch
        )
        return DataLoader(
            rows, batch_sampler=batches, collate_fn=whole_batch, **loader_settings(self.num_workers, rank)
        )

    def _rank(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def at_least(minimum: int, **settings: int) -> None:
    """Raise `UserError` for the first setting of the section `data` that is less than `minimum`."""
    for name, value in settings.items():
        if value < minimum:
            raise UserError(
                f"--data.{name} of at least {minimum}", f"{value}", f"Set data.{name} to {minimum} or more."
            )
