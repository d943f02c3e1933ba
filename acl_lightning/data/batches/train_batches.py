"""Base class of the composition of training batches, and the default."""

from __future__ import annotations

from abc import ABC, abstractmethod

from acl_lightning.data.encoding import EncodedRows
from acl_lightning.data.samplers import EpochSampler


class TrainBatches(ABC):
    """Composition of the training batches.

    It is a rule for the order of the rows: the batches are slices of the order, see `ShardedBatchSampler`. The order
    depends on the settings, the rows, the seed and the epoch only, so a run resumes in the middle of an epoch, and all
    processes compute the same order.
    """

    @abstractmethod
    def sampler(self, rows: EncodedRows, *, seed: int, batch_size: int, world_size: int) -> EpochSampler:
        """Return the sampler of the rows.

        Its length is at most that of the rows, rounded up to a multiple of `batch_size * world_size`.

        Args:
            rows: Training rows.
            seed: Seed of the order.
            batch_size: Number of rows per process.
            world_size: Number of processes.

        Raises:
            UserError: The rows or the batch size do not fit the settings.
        """


class Shuffled(TrainBatches):
    """Rows in a random order: the default."""

    def sampler(self, rows: EncodedRows, *, seed: int, batch_size: int, world_size: int) -> EpochSampler:
        """Return a sampler of random permutations."""
        return EpochSampler(len(rows), seed)
