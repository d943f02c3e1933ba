"""The texts that are timed: a run's validation data, or a file of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from acl_lightning.data import GLUEDataModule
from acl_lightning.encoders import model_inputs
from acl_lightning.latency.texts import read_texts

Inputs = dict[str, Tensor]


def validation_batches(data: GLUEDataModule, batch_size: int, rows: int) -> list[Inputs]:
    """Batches of the first `rows` rows of the run's (first) validation split, each padded to its longest."""
    encoded = data.rows(data.info.validation_splits[0])
    count = min(rows, len(encoded))
    batches = (encoded.__getitems__([*range(at, min(at + batch_size, count))]) for at in range(0, count, batch_size))
    return [_inputs(batch) for batch in batches]


def text_batches(
    data: GLUEDataModule, path: Path, batch_size: int, rows: int, columns: Sequence[str] | None = None
) -> list[Inputs]:
    """Batches of the texts of a file's first `rows` rows, tokenised as the run's data.

    Args:
        data: the run's data.
        path: see `read_texts`.
        batch_size: rows of a batch.
        rows: largest number of rows.
        columns: names of the text columns; None: those of the task.

    Raises:
        UserError: see `read_texts`.
    """
    texts = read_texts(path, data.info.text_columns, rows, chosen=columns, label_names=data.label_names)
    return [
        _inputs(
            data.tokenizer(
                *(list(column) for column in zip(*texts[at : at + batch_size], strict=True)),
                truncation=True,
                max_length=data.max_length,
                padding=True,
                return_tensors="pt",
            )
        )
        for at in range(0, len(texts), batch_size)
    ]


def singles(batches: list[Inputs]) -> list[Inputs]:
    """Every row as a batch of its own, without padding."""
    rows = []
    for batch in batches:
        for row, length in enumerate(batch["attention_mask"].sum(dim=1).tolist()):
            rows.append({name: ids[row : row + 1, :length] for name, ids in batch.items()})
    return rows


def on_device(batches: list[Inputs], device: torch.device) -> list[Inputs]:
    """The same batches, on a device."""
    return [{name: ids.to(device) for name, ids in batch.items()} for batch in batches]


def _inputs(batch: Mapping[str, Tensor]) -> Inputs:
    return model_inputs(batch)
