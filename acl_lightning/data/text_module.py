"""Base of the data modules of texts: from a task and a source of rows to tokenised splits and loaders."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
from torch.utils.data import DataLoader, Sampler, SequentialSampler

from acl_lightning.data.batch_rows import Batch
from acl_lightning.data.batches import Shuffled, TokenBudgetSampler, TrainBatches
from acl_lightning.data.batches.token_budget import WINDOW
from acl_lightning.data.encoding import EncodedRows, load_tokenizer
from acl_lightning.data.loaders import loader_settings, whole_batch
from acl_lightning.data.noise import TrainingNoise
from acl_lightning.data.protocol import SelectionProtocol
from acl_lightning.data.sources import Source
from acl_lightning.data.split_module import at_least
from acl_lightning.data.tasks import TaskInfo
from acl_lightning.data.tokenised_splits import TokenisedSplits


class TextDataModule(TokenisedSplits):
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
        at_least(8, max_length=max_length)
        if max_tokens_per_batch is not None:
            at_least(max_length, max_tokens_per_batch=max_tokens_per_batch)
        super().__init__(
            info,
            source,
            protocol,
            noise or TrainingNoise(),
            max_length,
            Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser() / "acl_lightning",
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            shuffle_seed=shuffle_seed,
            predict_split=predict_split,
        )
        self.batches = batches or Shuffled()
        self.tokenizer_source, self.max_tokens_per_batch = tokenizer, max_tokens_per_batch

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer, loaded at the first access."""
        return load_tokenizer(self.tokenizer_source, self.max_length)

    def prepare_data(self) -> None:
        """Fill the caches. Lightning calls this in one process before the other processes continue."""
        self.setup(None if self.trainer is None else self.trainer.state.fn)

    def _train_sampler(self, rows: EncodedRows, world_size: int) -> Sampler[int]:
        return self.batches.sampler(rows, seed=self.shuffle_seed, batch_size=self.batch_size, world_size=world_size)

    def rows_per_prediction(self, world_size: int) -> int:
        """Return the number of rows after which an interrupted prediction can continue: those of a global batch.

        Batches of `max_tokens_per_batch` are not in row order inside a window; then it is the number of its rows.
        """
        return super().rows_per_prediction(world_size) if self.max_tokens_per_batch is None else WINDOW

    def _in_order(self, rows: EncodedRows, first_batch: int = 0) -> DataLoader[Batch]:
        if self.max_tokens_per_batch is None:
            return super()._in_order(rows, first_batch)
        rank, world_size = self._rank()
        batches = TokenBudgetSampler(
            SequentialSampler(rows),
            lengths=rows.lengths.tolist(),
            max_tokens=self.max_tokens_per_batch,
            rank=rank,
            world_size=world_size,
            first_window=first_batch,
        )
        return DataLoader(
            rows, batch_sampler=batches, collate_fn=whole_batch, **loader_settings(self.num_workers, rank)
        )
