"""Batches of images, and random augmentation that depends on seed, epoch and row only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from acl_lightning.data.images.tables import ImageTable
from acl_lightning.data.images.transforms import normalized
from acl_lightning.data.samplers import EpochSampler

#: Name -> values of a batch of B images; see `ImageDataModule`.
Batch = dict[str, Tensor]


class EpochRowSampler(EpochSampler):
    """The order of `EpochSampler`, in which every row is numbered `epoch * rows + row`.

    The number determines the augmentation of the row, also in worker processes and after an interruption.
    """

    def __iter__(self) -> Iterator[int]:
        yield from (self.epoch * self.rows + row for row in super().__iter__())


class ImageRows(Dataset[Batch]):
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

    def __getitems__(self, numbers: list[int]) -> Batch:
        """Return a batch: `pixel_values` (B, C, H, W), float32, and every other column (B,)."""
        rows = [number % len(self) for number in numbers]
        images = [self._image(row, number) for row, number in zip(rows, numbers, strict=True)]
        rows_B = torch.tensor(rows)
        return {"pixel_values": torch.stack(images)} | {name: column[rows_B] for name, column in self.columns.items()}

    def __getitem__(self, number: int) -> Batch:
        """Return a single image without a batch dimension."""
        return {name: column[0] for name, column in self.__getitems__([number]).items()}

    def _image(self, row: int, number: int) -> Tensor:
        image_CHW = self.table.load(row)
        if self.transforms:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed((self.seed * 1_000_003 + number) % 2**63)
                for transform in self.transforms:
                    image_CHW = transform(image_CHW)
        return normalized(image_CHW, self._mean, self._std)
