"""Batches that are timed: from a run's validation data, or from a file of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from acl_lightning.data import TextDataModule
from acl_lightning.encoders import model_inputs
from acl_lightning.latency.texts import read_texts

#: Inputs (B, S) of the encoder by name.
Inputs = dict[str, Tensor]


def validation_batches(data: TextDataModule, batch_size: int, rows: int) -> list[Inputs]:
    """Return the first `rows` rows of a run's first validation split as batches, each padded to its longest row."""
    encoded = data.rows(data.info.validation_splits[0])
    count = min(rows, len(encoded))
    starts = range(0, count, batch_size)
    batches = (encoded.__getitems__([*range(start, min(start + batch_size, count))]) for start in starts)
    return [_inputs(batch) for batch in batches]


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
        _inputs(
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


def singles(batches: list[Inputs]) -> list[Inputs]:
    """Return a batch of one row, without padding, for each row."""
    rows = []
    for batch in batches:
        for row, length in enumerate(batch["attention_mask"].sum(dim=1).tolist()):
            rows.append({name: ids[row : row + 1, :length] for name, ids in batch.items()})
    return rows


def on_device(batches: list[Inputs], device: torch.device) -> list[Inputs]:
    """Return copies of the batches on a device."""
    return [{name: ids.to(device) for name, ids in batch.items()} for batch in batches]


def _inputs(batch: Mapping[str, Tensor]) -> Inputs:
    return model_inputs(batch)
