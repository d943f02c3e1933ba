"""The training loader that resumes in the middle of an epoch, and the settings and worker processes of loaders."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from lightning.fabric.utilities.seed import pl_worker_init_function
from torch.utils.data import DataLoader, Dataset

from acl_lightning.data.batch_rows import Batch
from acl_lightning.data.samplers import ShardedBatchSampler
from acl_lightning.errors import UserError


class ResumableLoader(DataLoader[Batch]):
    """A training loader with a saved position: a run resumed in the middle of an epoch continues at the next batch.

    The position is the epoch and the number of batches *returned*; batches that workers have prefetched do not count.
    Lightning saves and restores it with the checkpoint through `state_dict` and `load_state_dict`.

    A restored position applies to the first iteration only, and only if its epoch is the saved epoch. The order is
    computed when the first batch is requested, because Lightning creates the iterator before it sets the epoch.

    Args:
        dataset: Data set that returns whole batches from `__getitems__`.
        batch_sampler: Sampler of the batches, over an `EpochSampler`.
        kwargs: Further arguments of `DataLoader`.
    """

    batch_sampler: ShardedBatchSampler

    def __init__(self, dataset: Dataset[Batch], batch_sampler: ShardedBatchSampler, **kwargs: Any) -> None:
        super().__init__(dataset, batch_sampler=batch_sampler, collate_fn=whole_batch, **kwargs)
        self._position = (self._epoch(), 0)
        self._resumes = False

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # a generator: nothing starts before `next`
        epoch, batches = self._position
        first = batches if self._resumes and epoch == self._epoch() else 0
        self._resumes = False
        self._position = (self._epoch(), first)
        self.batch_sampler.first_batch = first
        for batch in super().__iter__():
            self._position = (self._position[0], self._position[1] + 1)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the position, and the settings under which it is valid."""
        epoch, batches = self._position
        return {"epoch": epoch, "batches": batches, **self._identity()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from `state` in the next iteration.

        Raises:
            UserError: The state was saved with other data, another seed or another global batch size.
        """
        for name, value in self._identity().items():
            if state.get(name, 0) != value:
                raise UserError(
                    f"{name} = {state.get(name, 0)}, as in the checkpoint",
                    f"{value}",
                    "Resume with the data settings of the checkpoint (global_batch is data.batch_size times the number "
                    "of processes, order stands for data.batches), or start a new run.",
                )
        self._position = (state["epoch"], state["batches"])
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
            "order": getattr(self.batch_sampler.sampler, "order", 0),
        }


def whole_batch(batch: Any) -> Any:
    """Return `batch` unchanged: the collate function for data sets that return whole batches."""
    return batch


def loader_settings(num_workers: int, rank: int) -> dict[str, Any]:
    """Return the arguments of `DataLoader` that all loaders of a data module share.

    Args:
        num_workers: Number of loader processes; 0 loads in the training process.
        rank: Rank of the training process.
    """
    return {
        "num_workers": num_workers,
        "persistent_workers": num_workers > 0,
        "worker_init_fn": partial(start_worker, rank=rank) if num_workers else None,
        "pin_memory": torch.cuda.is_available(),
        # A loader draws a number whenever it is iterated; the global generator is reserved for the model.
        "generator": torch.Generator(),
    }


def start_worker(worker: int, *, rank: int) -> None:
    """Initialise a worker process: end it when the training process ends, and seed its random generators.

    The worker also ends when the training process is killed. torch only compares the id of a worker's parent every
    five seconds. With the start methods `fork` and `spawn` this fails if the training process dies before the worker
    has read the id. With `forkserver` (the default from Python 3.14 on) the parent is the fork server, which runs as
    long as any of its children, so its workers would never end.

    This function replaces Lightning's, so it also seeds the generators of Python, numpy and torch like Lightning's.

    Args:
        worker: Number of the worker, from 0.
        rank: Rank of the process that created the loader.
    """
    threading.Thread(target=_exit_with_trainer, daemon=True).start()
    if int(os.environ.get("PL_SEED_WORKERS", "0")):
        pl_worker_init_function(worker, rank)


def _exit_with_trainer() -> None:
    trainer = multiprocessing.parent_process()  # the training process, also with a fork server
    if trainer is not None:
        trainer.join()  # waits for the end of a pipe, which is closed when a process is killed, too
        os._exit(1)
