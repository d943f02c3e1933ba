"""Samplers whose batches are the same on any number of processes and after an interruption."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from torch.utils.data import BatchSampler, DistributedSampler, Sampler

from acl_lightning.errors import UserError


class EpochSampler(Sampler[int]):
    """A random permutation of the rows that depends on the seed and the epoch only.

    The global random state is neither read nor changed, so dropout and resuming do not change the order. Lightning
    calls `set_epoch` before every epoch.

    Args:
        rows: Number of rows.
        seed: Seed of the permutations.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed, self.epoch = rows, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose permutation the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows

    def generator(self) -> torch.Generator:
        """Return a new generator for the draws of the present epoch."""
        # The factor makes (seed 0, epoch 1) differ from (seed 1, epoch 0); manual_seed takes at most 64 bits.
        return torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)

    def __iter__(self) -> Iterator[int]:
        yield from torch.randperm(self.rows, generator=self.generator()).tolist()


class ShardedBatchSampler(BatchSampler):
    """The batches of one process: slices of global batches of `batch_size * world_size` rows.

    Rank r takes the r-th slice of every global batch, so two processes with batches of 16 train on the same global
    batches as one process with batches of 32. If the last global batch does not divide evenly, fewer than `world_size`
    rows from the start of the order are added, so that all ranks have the same number of batches of equal sizes. In
    evaluation these duplicates are recognised by the `index` column.

    Args:
        sampler: Sampler of all rows with the same order on every rank: `EpochSampler` or `SequentialSampler`.
        batch_size: Number of rows per process.
        drop_last: Whether to leave out a smaller last global batch. (Name and position are those of torch's
            `BatchSampler`, because Lightning rebuilds the sampler for prediction.)
        rank: Rank of this process.
        world_size: Number of processes.

    Raises:
        UserError: `sampler` is already distributed.
    """

    sampler: Sampler[int]

    def __init__(
        self, sampler: Sampler[int], batch_size: int, drop_last: bool = False, *, rank: int = 0, world_size: int = 1
    ) -> None:
        assert 0 <= rank < world_size
        if isinstance(sampler, DistributedSampler):
            raise UserError(
                "a sampler of all rows",
                f"{type(sampler).__name__}, which the Trainer has inserted",
                "Set trainer.use_distributed_sampler to false.",
            )
        super().__init__(sampler, batch_size, drop_last)
        self.rank, self.world_size = rank, world_size
        self.first_batch = 0

    @property
    def rows(self) -> int:
        """Number of rows in the data set."""
        assert isinstance(self.sampler, Sized)
        return len(self.sampler)

    @property
    def global_batch(self) -> int:
        """Number of rows in a full global batch."""
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        return batches_per_epoch(self.rows, self.global_batch, drop_last=self.drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.sampler)
        for batch in range(self.first_batch, ShardedBatchSampler.__len__(self)):
            rows = order[batch * self.global_batch : (batch + 1) * self.global_batch]
            missing = -len(rows) % self.world_size
            rows += [order[row % len(order)] for row in range(missing)]
            share = len(rows) // self.world_size
            yield rows[self.rank * share : (self.rank + 1) * share]


class RemainingBatches(ShardedBatchSampler):
    """The batches from `first_batch` on, for a prediction that continues after an interruption.

    Args:
        sampler: Sampler of all rows; see `ShardedBatchSampler`.
        batch_size: Number of rows per process.
        drop_last: Whether to leave out a smaller last global batch.
        rank: Rank of this process.
        world_size: Number of processes.
        first_batch: Number of batches to skip.
    """

    def __init__(
        self,
        sampler: Sampler[int],
        batch_size: int,
        drop_last: bool = False,
        *,
        rank: int = 0,
        world_size: int = 1,
        first_batch: int = 0,
    ) -> None:
        super().__init__(sampler, batch_size, drop_last, rank=rank, world_size=world_size)
        self.first_batch = first_batch

    def __len__(self) -> int:
        return super().__len__() - self.first_batch


def batches_per_epoch(rows: int, global_batch: int, *, drop_last: bool = False) -> int:
    """Return the number of batches of each process in an epoch."""
    return rows // global_batch if drop_last else -(-rows // global_batch)
