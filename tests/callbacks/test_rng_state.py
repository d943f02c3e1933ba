"""Random state across an interruption: of every process, of one, and from older checkpoints."""

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from training_runs import furthest, in_processes, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.callbacks import RNGState
from acl_lightning.objectives import ACLEmbed, WeightedObjective


class SaveAfter(Callback):
    """Saves a checkpoint after so many batches of the first epoch."""

    def __init__(self, batches: int, path: Path) -> None:
        self.batches, self.path = batches, path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if (trainer.current_epoch, batch_idx + 1) == (0, self.batches):
            trainer.save_checkpoint(self.path)


def train(backbone: str, directory: Path, world: int, *callbacks: Callback, checkpoint: Path | None = None):
    """Weights after two epochs with dropout, on rows of different lengths."""
    data = tiny_data(backbone, synthetic_rows=40, batch_size=8 // world, max_length=64)
    module = tiny_module(backbone, data, encoder={"dropout": 0.1}, objective=WeightedObjective(ACLEmbed()))
    strategy = {"strategy": "ddp", "devices": world} if world > 1 else {}
    trainer = tiny_trainer(directory, max_epochs=2, callbacks=[RNGState(), *callbacks], **strategy)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    return weights(module)


def interrupted(backbone: str, directory: Path, world: int) -> None:
    """Write how far a resumed run ends from an undisturbed one, and from one that lost its random state."""
    path = directory / "middle.ckpt"
    torch.manual_seed(3)
    expected = train(backbone, directory, world, SaveAfter(3, path))
    torch.manual_seed(4)
    resumed = train(backbone, directory, world, checkpoint=path)
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        torch.save(furthest(resumed, expected), directory / "distance.pt")


@pytest.mark.parametrize("world", [1, 2])
def test_a_resumed_run_continues_the_dropout_masks_of_every_process(world, tiny_backbone, tmp_path):
    assert in_processes(interrupted, tiny_backbone, tmp_path, world, number=world) == [0] * world
    assert torch.load(tmp_path / "distance.pt") == 0
    states = [
        saved["ranks"]
        for name, saved in torch.load(tmp_path / "middle.ckpt", weights_only=True)["callbacks"].items()
        if name == "RNGState"
    ]
    assert [len(ranks) for ranks in states] == [world]


def draws() -> tuple[float, float, float]:
    return torch.rand(()).item(), random.random(), float(np.random.rand())  # noqa: NPY002


def restored(state: dict, rank: int = 0, world: int = 1) -> tuple[float, float, float]:
    """The next numbers of process `rank` after it restored `state`."""
    callback = RNGState()
    callback.load_state_dict(state)
    callback.on_train_batch_start(SimpleNamespace(global_rank=rank, world_size=world), None, None, 0)
    return draws()


def test_a_checkpoint_with_one_state_is_still_read():
    """As versions before the state of every process wrote it."""
    state = RNGState().state_dict()
    expected = draws()
    assert restored(state) == expected
    (alone,) = state["ranks"]
    assert restored(alone) == expected
    assert restored(alone, rank=1, world=2) == expected


def test_every_process_restores_its_own_state():
    states, expected = [], []
    for seed in range(2):
        torch.manual_seed(seed)
        states += RNGState().state_dict()["ranks"]
        expected.append(draws())
    assert [restored({"ranks": states}, rank, 2) for rank in range(2)] == expected
    assert restored({"ranks": states}, rank=2, world=3) == expected[0]
