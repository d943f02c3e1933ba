"""What a loader's worker process does first: end with the trainer, and seed its random generators."""

from __future__ import annotations

import multiprocessing
import os
import threading

from lightning.fabric.utilities.seed import pl_worker_init_function


def start_worker(worker: int, *, rank: int) -> None:
    """Let the worker end with the process that made the loader, also where that process is killed.

    torch compares the id of a worker's parent every five seconds. That is enough with the start methods `fork` and
    `spawn`, unless the trainer dies before the worker has noted the id. With `forkserver` (the default from Python 3.14
    on) the parent is the server, which lives as long as any of its children: such workers never end by themselves.

    As this function takes the place of Lightning's, it seeds Python's, numpy's and torch's generators as that does.

    Args:
        worker: Number of the worker, from 0.
        rank: Rank of the process that made the loader.
    """
    threading.Thread(target=_exit_with_trainer, daemon=True).start()
    if int(os.environ.get("PL_SEED_WORKERS", "0")):
        pl_worker_init_function(worker, rank)


def _exit_with_trainer() -> None:
    trainer = multiprocessing.parent_process()  # who asked for the worker, not the fork server
    if trainer is not None:
        trainer.join()  # waits for the end of a pipe, which also a killed process closes
        os._exit(1)
