"""Tokenised splits of a task: training rows with noise, validation rows, selection rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import torch
from datasets import Dataset
from torch import Tensor

from acl_lightning.data.encoding import NUM_TOKENS, EncodedRows, hash_tokenizer, tokenize
from acl_lightning.data.noise import TrainingNoise
from acl_lightning.data.protocol import SelectionProtocol
from acl_lightning.data.sources import Source
from acl_lightning.data.split_module import Loading, SplitDataModule
from acl_lightning.data.tasks import TaskInfo
from acl_lightning.data.truncation import Truncation


class TokenisedSplits(SplitDataModule[EncodedRows]):
    """Splits of a task, loaded and tokenised at their first use. Subclasses provide the tokenizer.

    Args:
        info: The task.
        source: Loader of the splits.
        protocol: Which rows are trained on, which select, and which are reported.
        noise: Noise of the training split.
        max_length: Number of tokens that rows are truncated to, including special tokens.
        cache_dir: Directory of token ids.
        loading: Settings of the loaders, see `SplitDataModule`.

    Raises:
        UserError: The noise does not fit the task, or a setting is out of range.

    Attributes:
        truncation: Split name -> number of truncated rows, for the splits that have been loaded. `selection` is the
            selection split if it is taken from the training rows.
    """

    def __init__(
        self,
        info: TaskInfo,
        source: Source,
        protocol: SelectionProtocol,
        noise: TrainingNoise,
        max_length: int,
        cache_dir: Path,
        **loading: Unpack[Loading],
    ) -> None:
        super().__init__(info, protocol, **loading)
        noise.check(info)
        self.source, self.noise = source, noise
        self.max_length, self.cache_dir = max_length, cache_dir
        self.truncation: dict[str, Truncation] = {}
        self._raw: dict[str, Dataset] = {}

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer."""
        raise NotImplementedError

    @cached_property
    def _tokenizer_hash(self) -> str:
        return hash_tokenizer(self.tokenizer)

    def describe(self) -> dict[str, object]:
        """Return how the rows were selected and changed, as `result.json` stores it under `data`."""
        return super().describe() | {
            "label_noise": self.noise.label_rate,
            "text_noise": None if self.noise.text is None else self.noise.text.describe(),
        }

    def texts(self, split: str, index: int) -> dict[str, str]:
        """Return the texts of row `index` of a split by column name, without noise."""
        row = self._load(self.info.split(split))[index]
        return {name: row[name] for name in self.info.text_columns}

    def _load(self, split: str) -> Dataset:
        if split not in self._raw:
            self._raw[split] = self.source.load(self.info, split)
        return self._raw[split]

    def _training_labels(self) -> list[float]:
        return _labels(self._load("train"))

    def _build(self, split: str) -> EncodedRows:
        if split == "train":
            return self._build_training()
        raw = self._load(split)
        columns = self._columns(raw)
        if split in self.info.validation_splits and "labels" in columns:
            columns["selection"] = self.protocol.selected(columns["labels"].tolist())
        return self._tokenised(split, raw, columns)

    def _build_training(self) -> EncodedRows:
        raw, index = self._load("train"), self._division.training
        columns = self._columns(raw, index)
        rows = raw if len(index) == len(raw) else raw.select(index)
        if self.noise.label_rate:
            columns["labels"] = torch.tensor(self.noise.labels(columns["labels"].tolist(), self.info.num_labels))
        rows = self.noise.texts(rows, self.info.text_columns, index, self.cache_dir)
        return self._tokenised("train", rows, columns)

    def _build_selection(self, first_index: int) -> EncodedRows:
        raw, index = self._load("train"), self._division.selection
        columns = self._columns(raw, index)
        columns["index"] += first_index
        columns["selection"] = torch.ones(len(index), dtype=torch.bool)
        return self._tokenised("selection", raw.select(index), columns)

    def _columns(self, raw: Dataset, index: Sequence[int] | None = None) -> dict[str, Tensor]:
        """Return the columns beside the texts, of some rows or of all."""
        columns = {"index": torch.arange(len(raw))}
        if "label" in raw.column_names:
            kind = torch.float32 if self.info.is_regression else torch.long
            columns["labels"] = torch.tensor(_labels(raw), dtype=kind)
        if "difficulty" in raw.column_names:
            columns["difficulty"] = torch.tensor(raw[:]["difficulty"])
        return columns if index is None else {name: values[list(index)] for name, values in columns.items()}

    def _tokenised(self, split: str, raw: Dataset, columns: dict[str, Tensor]) -> EncodedRows:
        settings = (self.info.text_columns, self.max_length, self.cache_dir, self._tokenizer_hash)
        tokens = tokenize(raw, self.tokenizer, *settings)
        self.truncation[split] = Truncation.measure(tokens.data.column(NUM_TOKENS).to_numpy(), self.max_length)
        if self._rank()[0] == 0:
            self.truncation[split].warn(split, self.tokenizer.model_max_length)
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        return EncodedRows(tokens.remove_columns(NUM_TOKENS), padding, columns, self.info.label_names)


def _labels(raw: Dataset) -> list[float]:
    labels: list[float] = raw.select_columns(["label"])[:]["label"]
    return labels
