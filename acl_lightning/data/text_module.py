"""Base of the data modules of texts: from a task and a source of rows to tokenised splits and loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler

from acl_lightning.data.batches import Shuffled, TokenBudgetSampler, TrainBatches
from acl_lightning.data.batches.token_budget import WINDOW
from acl_lightning.data.encoding import Batch, EncodedRows, load_tokenizer
from acl_lightning.data.loaders import ResumableLoader, loader_settings, whole_batch
from acl_lightning.data.noise import TrainingNoise
from acl_lightning.data.protocol import SelectionProtocol
from acl_lightning.data.samplers import RemainingBatches, ShardedBatchSampler, batches_per_epoch
from acl_lightning.data.sources import Source
from acl_lightning.data.task_module import TaskDataModule
from acl_lightning.data.tasks import TaskInfo
from acl_lightning.data.tokenised_splits import TokenisedSplits
from acl_lightning.errors import UserError


class TextDataModule(TokenisedSplits, TaskDataModule):
    """Splits and loaders of a task whose rows have texts. Subclasses provide the task and the source of the rows.

    Batches and splits are described in `GLUEDataModule`.

    Args:
        info: The task.
        source: Loader of the splits.
        protocol: Which rows are trained on, which select, and which are reported.
        tokenizer: Hub id, directory, or `package:MODULE/SUBDIR` of the tokenizer.
        max_length: Number of tokens that rows are truncated to, including special tokens.
        batch_size: Number of training rows per device and step.
        eval_batch_size: Number of rows per device and step in evaluation and prediction.
        num_workers: Number of loader processes; 0 loads in the training process.
        shuffle_seed: Seed of the order of the training rows.
        predict_split: Split that `predict` runs over.
        cache_dir: Directory of token ids; None for the Hugging Face default.
        noise: Noise of the training split; None: none.
        batches: Composition of the training batches; None: `Shuffled`.
        max_tokens_per_batch: Largest number of tokens of a batch in evaluation and prediction; None: `eval_batch_size`
            decides.

    Raises:
        UserError: The split is unknown, or a setting is out of range.
    """

    def __init__(
        self,
        info: TaskInfo,
        source: Source,
        *,
        protocol: SelectionProtocol,
        tokenizer: str,
        max_length: int,
        batch_size: int,
        eval_batch_size: int,
        num_workers: int,
        shuffle_seed: int,
        predict_split: str,
        cache_dir: str | None,
        noise: TrainingNoise | None = None,
        batches: TrainBatches | None = None,
        max_tokens_per_batch: int | None = None,
    ) -> None:
        TaskDataModule.__init__(self)
        at_least(8, max_length=max_length)
        at_least(1, batch_size=batch_size, eval_batch_size=eval_batch_size)
        at_least(0, num_workers=num_workers)
        if max_tokens_per_batch is not None:
            at_least(max_length, max_tokens_per_batch=max_tokens_per_batch)
        cache = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "acl_lightning"
        TokenisedSplits.__init__(self, info, source, protocol, noise or TrainingNoise(), max_length, cache)
        self.batches = batches or Shuffled()
        self.task_name: str = info.name
        self.label_names: list[str] = list(info.label_names)
        self.metrics: list[str] = list(info.metrics)
        self.num_labels: int = info.num_labels
        self.predict_split = info.split(predict_split)
        self.tokenizer_source = tokenizer
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.max_tokens_per_batch, self.shuffle_seed = max_tokens_per_batch, shuffle_seed
        #: Function that returns the number of batches that an interrupted prediction has written. `AdaptivePrediction`
        #: sets it. It is called when the loader is built, because it depends on the checkpoint, which is loaded shortly
        #: before that.
        self.first_predict_batch: Callable[[], int] | None = None

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, loaded at the first access."""
        return load_tokenizer(self.tokenizer_source, self.max_length)

    # --- loading ------------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Fill the caches. Lightning calls this in one process before the other processes continue."""
        self.setup(None if self.trainer is None else self.trainer.state.fn)

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage (`fit`, `validate`, `test`, `predict`), or all splits for None."""
        validation, prediction = self.info.validation_splits, (self.predict_split,)
        splits = {
            "fit": ("train", *validation),
            "validate": validation,
            "test": validation,
            "predict": prediction,
            None: ("train", *validation, *prediction),
        }
        for split in splits[stage]:
            self.rows(split)
        if stage in {"fit", "validate", None}:
            self.validation_rows(validation[0])

    # --- loaders ------------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader:
        """Return the training loader, whose order depends on `batches`, `shuffle_seed` and the epoch only."""
        rows = self.rows("train")
        # Trainer(overfit_batches=…) trains on the same rows in every epoch.
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        rank, world_size = self._rank()
        sampler = SequentialSampler(rows) if overfits else self.batches.sampler(
            rows, seed=self.shuffle_seed, batch_size=self.batch_size, world_size=world_size
        )  # fmt: skip
        return ResumableLoader(
            rows,
            ShardedBatchSampler(sampler, self.batch_size, rank=rank, world_size=world_size),
            **loader_settings(self.num_workers, rank),
        )

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the loader of `validation_rows`; for MNLI a list of two loaders."""
        loaders = [self._in_order(self.validation_rows(split)) for split in self.info.validation_splits]
        return loaders if len(loaders) > 1 else loaders[0]

    def test_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the loaders of the validation splits: the labels of GLUE's test splits are not public."""
        loaders = [self._in_order(self.rows(split)) for split in self.info.validation_splits]
        return loaders if len(loaders) > 1 else loaders[0]

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of `predict_split` in row order, without batches that are already predicted."""
        first_batch = self.first_predict_batch() if self.first_predict_batch else 0
        return self._in_order(self.rows(self.predict_split), first_batch)

    def rows_per_prediction(self, world_size: int) -> int:
        """Return the number of rows after which an interrupted prediction can continue: those of a global batch.

        Batches of `max_tokens_per_batch` are not in row order inside a window; then it is the number of its rows.
        """
        return self.eval_batch_size * world_size if self.max_tokens_per_batch is None else WINDOW

    def prediction_fields(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the columns of each row of a prediction batch that are copied to the output: its texts."""
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

    def _in_order(self, rows: EncodedRows, first_batch: int = 0) -> DataLoader[Batch]:
        rank, world_size = self._rank()
        sampler: ShardedBatchSampler | TokenBudgetSampler = RemainingBatches(
            SequentialSampler(rows), self.eval_batch_size, rank=rank, world_size=world_size, first_batch=first_batch
        )
        if self.max_tokens_per_batch is not None:
            sampler = TokenBudgetSampler(
                SequentialSampler(rows),
                lengths=rows.lengths.tolist(),
                max_tokens=self.max_tokens_per_batch,
                rank=rank,
                world_size=world_size,
                first_window=first_batch,
            )
        return DataLoader(
            rows, batch_sampler=sampler, collate_fn=whole_batch, **loader_settings(self.num_workers, rank)
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
