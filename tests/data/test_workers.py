"""Loader workers end with the process that started them, however it is killed and however they were started."""

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

from acl_lightning.data.workers import start_worker

#: Start method -> number of workers; forked ones inherit each other's pipes.
METHODS = {"fork": 2, "forkserver": 1, "spawn": 1}


def read_and_die(method: str, directory: Path, *, watched: bool) -> None:
    """Start workers, note their process ids, and die as in a power cut."""
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
    """Whether a process runs; one that ended but was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads process states from /proc")
@pytest.mark.parametrize("method", METHODS)
def test_workers_end_with_a_killed_trainer(method, tmp_path):
    assert in_processes(partial(read_and_die, watched=True), method, tmp_path) == [-signal.SIGKILL]
    ids = [int(text) for text in (tmp_path / "ids").read_text().split()]
    deadline = time.monotonic() + 4  # torch's own watch of the parent takes 5 s, and misses a fork server
    while any(alive(process) for process in ids) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [process for process in ids if alive(process)]
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert left == []


def test_the_loaders_start_their_workers_so(tiny_backbone):
    data = tiny_data(tiny_backbone, num_workers=1)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.worker_init_fn.func is start_worker
        assert len(list(loader)) == len(loader)
    assert tiny_data(tiny_backbone).train_dataloader().worker_init_fn is None


def drawn(rank: int) -> float:
    torch.manual_seed(5)
    start_worker(1, rank=rank)
    return float(np.random.rand())  # noqa: NPY002


def test_workers_are_seeded_as_lightning_does(monkeypatch):
    """`seed_everything(workers=True)` asks for it, and leaves loaders with a function of their own alone."""
    monkeypatch.setenv("PL_SEED_WORKERS", "1")
    assert drawn(0) == drawn(0) != drawn(1)
