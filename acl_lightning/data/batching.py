"""Which rows make a batch: the same on one process as on several, and the same after an interruption."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, Sampler

from acl_lightning.data.encoding import Batch
from acl_lightning.errors import UserError


class EpochSampler(Sampler[int]):
    """A permutation of the rows that is a function of (seed, epoch) only.

    It does not touch the global random state, so neither dropout nor a resumed run can change it. Lightning calls
    `set_epoch` before every epoch.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed, self.epoch = rows, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation that the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        # Multiplied, so that (seed 0, epoch 1) is not (seed 1, epoch 0); reduced to what manual_seed takes.
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        yield from torch.randperm(self.rows, generator=generator).tolist()


class ShardedBatchSampler(BatchSampler):
    """Batches of one process, cut from global batches of `batch_size * world_size` rows.

    Rank r takes the r-th slice of every global batch, so 2 processes with batches of 16 see together what 1 process
    with batches of 32 sees. The last global batch may be smaller; if it does not divide evenly, rows from the start of
    the order are added (fewer than `world_size`), so all ranks have equally many batches of equal sizes. In evaluation
    the `index` column tells these duplicates.

    Args:
        sampler: order of all rows, the same on every rank: `EpochSampler` or `SequentialSampler`.
        batch_size: rows per process.
        drop_last: leave a smaller last global batch out. (Name and position are those of torch's `BatchSampler`,
            because Lightning rebuilds the sampler for prediction.)
        rank: this process.
        world_size: number of processes.

    Raises:
        UserError: `sampler` is already sharded.
    """

    sampler: Sampler[int]

    def __init__(
        self, sampler: Sampler[int], batch_size: int, drop_last: bool = False, *, rank: int = 0, world_size: int = 1
    ) -> None:
        assert 0 <= rank < world_size
        if isinstance(sampler, DistributedSampler):
            raise UserError(
                "rows that are divided among the processes once",
                "a distributed sampler that the Trainer put below ours",
                "Set --trainer.use_distributed_sampler=false.",
            )
        super().__init__(sampler, batch_size, drop_last)
        self.rank, self.world_size = rank, world_size
        self.first_batch = 0

    @property
    def rows(self) -> int:
        """Number of rows of the data set."""
        assert isinstance(self.sampler, Sized)
        return len(self.sampler)

    @property
    def global_batch(self) -> int:
        """Rows of all processes together in a full batch."""
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
    """The batches from `first_batch` on: what is left of a prediction that was interrupted.

    Args:
        sampler: see `ShardedBatchSampler`, as for the other arguments.
        batch_size: rows per process.
        drop_last: leave a smaller last global batch out.
        rank: this process.
        world_size: number of processes.
        first_batch: number of batches to leave out.
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
    """Number of batches each process sees in an epoch."""
    return rows // global_batch if drop_last else -(-rows // global_batch)


class ResumableLoader(DataLoader[Batch]):
    """A training loader that knows its place, so that a run resumed in mid-epoch goes on at the next unseen batch.

    Its state is the epoch and the number of batches *handed out*; what workers have prefetched does not count.
    Lightning saves and restores it with the checkpoint, as of any loader with `state_dict` and `load_state_dict`.

    A restored place holds for the first iteration, and only if that runs over the saved epoch. The order is fixed when
    the first batch is asked for, not when the iterator is made: Lightning makes it before it tells the epoch.

    Args:
        dataset: rows that hand out whole batches through `__getitems__`.
        batch_sampler: over an `EpochSampler`.
        kwargs: further arguments of `DataLoader`.
    """

    batch_sampler: ShardedBatchSampler

    def __init__(self, dataset: Dataset[Batch], batch_sampler: ShardedBatchSampler, **kwargs: Any) -> None:
        super().__init__(dataset, batch_sampler=batch_sampler, collate_fn=as_is, **kwargs)
        self._place = (self._epoch(), 0)
        self._resumes = False

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # a generator: nothing starts before `next`
        epoch, batches = self._place
        first = batches if self._resumes and epoch == self._epoch() else 0
        self._resumes = False
        self._place = (self._epoch(), first)
        self.batch_sampler.first_batch = first
        for batch in super().__iter__():
            self._place = (self._place[0], self._place[1] + 1)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The place, and what it depends on."""
        epoch, batches = self._place
        return {"epoch": epoch, "batches": batches, **self._identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from `state` at the next iteration.

        Raises:
            UserError: the state was saved with other data, another seed or another global batch size.
        """
        for name, value in self._identity().items():
            if state[name] != value:
                raise UserError(
                    f"to resume with {name} {state[name]}",
                    f"{value}",
                    "Resume with the settings of the checkpoint (global_batch is --data.batch_size times the number "
                    "of processes), or start anew from its weights.",
                )
        self._place = (state["epoch"], state["batches"])
        self._resumes = True
        set_epoch = getattr(self.batch_sampler.sampler, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(state["epoch"])

    def _epoch(self) -> int:
        return getattr(self.batch_sampler.sampler, "epoch", 0)

    def _identity(self) -> dict[str, int]:
        return {
            "rows": self.batch_sampler.rows,
            "global_batch": self.batch_sampler.global_batch,
            "seed": getattr(self.batch_sampler.sampler, "seed", 0),
        }


def as_is(batch: Any) -> Any:
    """The collate function of rows that hand out whole batches."""
    return batch
