"""Base of the data sets that return whole batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

#: Name -> values of a batch of B rows; see `GLUEDataModule` and `ImageDataModule`.
Batch = dict[str, Tensor]


class BatchRows(Dataset[Batch], ABC):
    """Rows of a split, which are read in whole batches.

    Attributes:
        columns: Columns with one value per row, which are added to the batch unchanged.
    """

    columns: dict[str, Tensor]

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def __getitems__(self, rows: list[int]) -> Batch:
        """Return a batch: the inputs of the encoder, and every other column (B,)."""

    @abstractmethod
    def content_hash(self) -> str:
        """Return a hash of the inputs of the encoder."""

    @abstractmethod
    def spread(self, others: Self) -> Self:
        """Return these rows with those of `others` spread evenly among them; both must have the same columns."""

    def __getitem__(self, row: int) -> Batch:
        """Return a single row without padding and without a batch dimension."""
        return {name: column[0] for name, column in self.__getitems__([row]).items()}

    def _spread_order(self, others: Self) -> Tensor:
        """Return the order of `spread`: row numbers of these rows followed by `others`, (n,)."""
        position = torch.cat([(torch.arange(len(part)) + 0.5) / max(1, len(part)) for part in (self, others)])
        return position.argsort(stable=True)

    def _spread_columns(self, others: Self, order: Tensor) -> dict[str, Tensor]:
        return {name: torch.cat([column, others.columns[name]])[order] for name, column in self.columns.items()}
