"""Batches that are timed: from a run's validation data, or from a file of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acl_lightning.data import SplitDataModule, TextDataModule
from acl_lightning.encoders import MultiExitEncoder, model_inputs
from acl_lightning.latency.texts import read_texts

#: Inputs of the encoder by name: token ids (B, S) with their mask, or `pixel_values` (B, channels, height, width).
Inputs = dict[str, Tensor]


def validation_batches(data: SplitDataModule[Any], batch_size: int, rows: int) -> list[Inputs]:
    """Return the first `rows` rows of a run's first validation split as batches, each padded to its longest row."""
    encoded = data.rows(data.info.validation_splits[0])
    count = min(rows, len(encoded))
    starts = range(0, count, batch_size)
    batches = (encoded.__getitems__([*range(start, min(start + batch_size, count))]) for start in starts)
    return [model_inputs(batch) for batch in batches]


def text_batches(
    data: TextDataModule, path: Path, batch_size: int, rows: int, columns: Sequence[str] | None = None
) -> list[Inputs]:
    """Return the texts of the first `rows` rows of a file as batches, tokenized as the run's data.

    Args:
        data: DataModule of the run.
        path: File of texts, see `read_texts`.
        batch_size: Number of rows in a batch.
        rows: Largest number of rows.
        columns: Names of the text columns. None: those of the task.

    Raises:
        UserError: `read_texts` cannot read the file.
    """
    texts = read_texts(path, data.info.text_columns, rows, columns=columns, label_names=data.label_names)
    return [
        model_inputs(
            data.tokenizer(
                *(list(column) for column in zip(*texts[start : start + batch_size], strict=True)),
                truncation=True,
                max_length=data.max_length,
                padding=True,
                return_tensors="pt",
            )
        )
        for start in range(0, len(texts), batch_size)
    ]


def num_samples(batch: Inputs) -> int:
    """Return the number of samples of a batch."""
    return len(next(iter(batch.values())))


def num_tokens(batch: Inputs, encoder: MultiExitEncoder) -> list[int]:
    """Return the number of tokens of each sample of a batch, without padding; images have as many as positions."""
    mask_BS = batch.get("attention_mask")
    if mask_BS is None:
        return [encoder.backbone.max_tokens] * num_samples(batch)
    lengths: list[int] = mask_BS.sum(dim=1).tolist()
    return lengths


def singles(batches: list[Inputs]) -> list[Inputs]:
    """Return a batch of one row, without padding, for each row."""
    rows = []
    for batch in batches:
        mask_BS = batch.get("attention_mask")
        lengths = [None] * num_samples(batch) if mask_BS is None else mask_BS.sum(dim=1).tolist()
        for row, length in enumerate(lengths):
            rows.append({name: values[row : row + 1, :length] for name, values in batch.items()})
    return rows


def on_device(batches: list[Inputs], device: torch.device) -> list[Inputs]:
    """Return copies of the batches on a device."""
    return [{name: ids.to(device) for name, ids in batch.items()} for batch in batches]
