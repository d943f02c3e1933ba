"""Training batches of rows with similar lengths, which have little padding."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import torch
from torch import Tensor

from acl_lightning.data.batches.train_batches import TrainBatches
from acl_lightning.data.encoding import EncodedRows
from acl_lightning.data.samplers import EpochSampler
from acl_lightning.errors import UserError


class LengthGrouped(TrainBatches):
    """Batches of rows with similar numbers of tokens, in an order that stays random.

    In every epoch the rows are shuffled and cut into windows of `window` global batches. The rows of a window are
    sorted by length and cut into batches, and all full batches are shuffled. A smaller last batch stays last. The
    larger the window, the less padding and the less randomness. Every row occurs once per epoch. As with `Shuffled`,
    two processes with batches of 16 train on the same global batches as one process with batches of 32.

    Args:
        window: Number of global batches in a window.

    Raises:
        UserError: `window` is less than 1.
    """

    def __init__(self, window: int = 50) -> None:
        if window < 1:
            raise UserError("a window of LengthGrouped >= 1", f"{window}", "Set its window to 50.")
        self.window = window

    def sampler(self, rows: EncodedRows, *, seed: int, batch_size: int, world_size: int) -> EpochSampler:
        """Return a sampler that groups the rows by length."""
        return LengthGroupedSampler(rows.lengths, seed, batch_size * world_size, self.window)


class LengthGroupedSampler(EpochSampler):
    """Order of rows for batches of similar lengths; see `LengthGrouped`.

    Args:
        lengths: Number of tokens of each row, (n,).
        seed: Seed of the order.
        global_batch: Number of rows in a batch of all processes.
        window: Number of global batches in a window.
    """

    def __init__(self, lengths: Tensor, seed: int, global_batch: int, window: int) -> None:
        super().__init__(len(lengths), seed)
        self.order = crc32(f"length {window}".encode())
        self.lengths, self.global_batch, self.window = lengths, global_batch, window

    def __iter__(self) -> Iterator[int]:
        generator = self.generator()
        order = torch.randperm(self.rows, generator=generator)
        windows = torch.split(order, self.window * self.global_batch)
        # The shuffled order decides between rows of equal length, and which rows the smaller last batch has.
        batches = [
            batch
            for window in windows
            for batch in torch.split(window[self.lengths[window].argsort(stable=True)], self.global_batch)
        ]
        full = [batch for batch in batches if len(batch) == self.global_batch]
        smaller = [batch for batch in batches if len(batch) < self.global_batch]
        shuffled = [full[number] for number in torch.randperm(len(full), generator=generator).tolist()]
        for batch in [*shuffled, *smaller]:
            yield from batch.tolist()
