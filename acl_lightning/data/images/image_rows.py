"""Batches of images, and random augmentation that depends on seed, epoch and row only."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

from acl_lightning.data.batch_rows import Batch, BatchRows
from acl_lightning.data.images.tables import ImageTable
from acl_lightning.data.images.transforms import normalized
from acl_lightning.data.samplers import EpochSampler


class EpochRowSampler(EpochSampler):
    """The order of `EpochSampler`, in which every row is numbered `epoch * rows + row`.

    The number determines the augmentation of the row, also in worker processes and after an interruption.
    """

    def __iter__(self) -> Iterator[int]:
        yield from (self.epoch * self.rows + row for row in super().__iter__())


class ImageRows(BatchRows):
    """A data set of images that returns whole batches.

    Args:
        table: The images.
        transforms: Functions of an image (C, H, W), uint8, in the order in which they are applied.
        mean: Mean of each channel, see `normalized`.
        std: Standard deviation of each channel.
        columns: Further columns with one value per row, which are added to the batch unchanged.
        seed: Seed of random transforms. The global random state is neither read nor changed.
    """

    def __init__(
        self,
        table: ImageTable,
        transforms: Sequence[Callable[[Tensor], Tensor]],
        mean: Sequence[float],
        std: Sequence[float],
        columns: dict[str, Tensor],
        seed: int,
    ) -> None:
        self.table, self.transforms, self.columns, self.seed = table, list(transforms), columns, seed
        self._mean, self._std = mean, std

    def __len__(self) -> int:
        return len(self.table)

    def content_hash(self) -> str:
        """Return a hash of the images and their normalisation."""
        return f"{self.table.content} {list(self._mean)} {list(self._std)}"

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return a batch: `pixel_values` (B, C, H, W), float32, and every other column (B,).

        Args:
            rows: Row numbers, or the numbers of `EpochRowSampler`.
        """
        images = [self._image(number % len(self), number) for number in rows]
        rows_B = torch.tensor(rows) % len(self)
        return {"pixel_values": torch.stack(images)} | {name: column[rows_B] for name, column in self.columns.items()}

    def spread(self, others: Self) -> Self:
        """Return these images with those of `others` spread evenly among them; both must have the same columns."""
        order = self._spread_order(others)
        both = copy.copy(self)
        both.table = self.table.spread(others.table, order.tolist())
        both.columns = self._spread_columns(others, order)
        return both

    def _image(self, row: int, number: int) -> Tensor:
        image_CHW = self.table.load(row)
        if self.transforms:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed((self.seed * 1_000_003 + number) % 2**63)
                for transform in self.transforms:
                    image_CHW = transform(image_CHW)
        return normalized(image_CHW, self._mean, self._std)
