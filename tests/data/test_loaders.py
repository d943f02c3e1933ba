"""Worker processes of loaders: their end with the training process, and their seeds."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from training_runs import in_processes, tiny_data

from acl_lightning.data.loaders import start_worker

#: Start method -> number of workers; forked ones inherit each other's pipes.
METHODS = {"fork": 2, "forkserver": 1, "spawn": 1}


def read_and_die(method: str, directory: Path, *, watched: bool) -> None:
    """Start workers, write their process ids to a file, and kill this process."""
    init = partial(start_worker, rank=0) if watched else None
    loader = DataLoader(
        TensorDataset(torch.zeros(1000)),
        num_workers=METHODS[method],
        multiprocessing_context=method,
        worker_init_fn=init,
    )
    batches = iter(loader)
    next(batches)
    ids = [worker.pid for worker in batches._workers]
    (directory / "ids").write_text(" ".join(map(str, ids)))
    os.kill(os.getpid(), signal.SIGKILL)


def alive(process: int) -> bool:
    """Whether a process runs. A zombie does not run."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads process states from /proc")
@pytest.mark.parametrize("method", METHODS)
def test_workers_end_when_the_training_process_is_killed(method, tmp_path):
    assert in_processes(partial(read_and_die, watched=True), method, tmp_path) == [-signal.SIGKILL]
    ids = [int(text) for text in (tmp_path / "ids").read_text().split()]
    deadline = time.monotonic() + 4  # torch compares the parent every 5 s, and does not notice with a fork server
    while any(alive(process) for process in ids) and time.monotonic() < deadline:
        time.sleep(0.05)
    remaining = [process for process in ids if alive(process)]
    for process in remaining:
        os.kill(process, signal.SIGKILL)
    assert remaining == []


def test_the_data_module_starts_workers_with_start_worker(tiny_backbone):
    data = tiny_data(tiny_backbone, num_workers=1)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.worker_init_fn.func is start_worker
        assert len(list(loader)) == len(loader)
    assert tiny_data(tiny_backbone).train_dataloader().worker_init_fn is None


def drawn(rank: int) -> float:
    torch.manual_seed(5)
    start_worker(1, rank=rank)
    return float(np.random.rand())  # noqa: NPY002


def test_workers_are_seeded_like_those_of_lightning(monkeypatch):
    """`seed_everything(workers=True)` requests seeds, but only for loaders without a `worker_init_fn`."""
    monkeypatch.setenv("PL_SEED_WORKERS", "1")
    assert drawn(0) == drawn(0) != drawn(1)
