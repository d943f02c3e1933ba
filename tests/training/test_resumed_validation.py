"""A run resumed from any `last.ckpt` repeats the validations that follow it, and chooses the same best checkpoint."""

import shutil
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from training_runs import furthest, tiny_data, tiny_module, tiny_trainer, weights

from acl_lightning.callbacks import LastCheckpoint, RNGState
from acl_lightning.objectives import ACLCrossLayer, BestExit, WeightedObjective

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")

#: When to validate, in epochs of 5 batches; the accumulation; the interval of `last.ckpt` in optimiser steps.
SCHEDULES = {
    "every epoch": ({}, 1, 2),
    "every second epoch": ({"check_val_every_n_epoch": 2}, 1, 2),
    "every second batch": ({"val_check_interval": 2}, 1, 2),
    "every batch": ({"val_check_interval": 1}, 1, 3),
    "a share of an epoch": ({"val_check_interval": 0.4}, 1, 2),
    "across epochs": ({"val_check_interval": 3, "check_val_every_n_epoch": None}, 1, 3),
    "across epochs, at their ends too": ({"val_check_interval": 5, "check_val_every_n_epoch": None}, 1, 2),
    "within accumulation": ({"val_check_interval": 2}, 2, 1),
}


class History(Callback):
    """Step and quality of every exit of the validations of a fit."""

    def __init__(self) -> None:
        self.validations: list[tuple[int, list[float]]] = []

    def on_validation_epoch_end(self, trainer, pl_module) -> None:
        self.validations.append((trainer.global_step, pl_module.exit_metrics.on_selection_split().tolist()))


class Copies(LastCheckpoint):
    """`LastCheckpoint` that keeps a copy of every file, named after the number of validations before it."""

    def __init__(self, history: History, directory: Path, **settings) -> None:
        super().__init__(dirpath=str(directory), **settings)
        self.history, self.directory = history, directory

    def _save(self, trainer) -> None:
        super()._save(trainer)
        number = len(list(self.directory.glob("copy-*")))
        name = f"copy-{number}-{trainer.global_step}-{len(self.history.validations)}.ckpt"
        shutil.copy(self.path(trainer), self.directory / name)


def fit(backbone, directory, last, history, schedule, accumulate, checkpoint=None):
    """Weights at the end, and the name of the best checkpoint with its score."""
    data = tiny_data(backbone, synthetic_rows=40)
    objective = WeightedObjective(ACLCrossLayer(teacher=BestExit()))
    module = tiny_module(backbone, data, objective=objective, optimization={"accumulate": accumulate})
    names = {"filename": "{step}", "enable_version_counter": False}
    best = ModelCheckpoint(dirpath=directory / "best", monitor="val/selection", mode="max", **names)
    settings = {"enable_checkpointing": True, "limit_val_batches": 1.0, "max_epochs": 2} | schedule
    trainer = tiny_trainer(directory, callbacks=[history, best, last, RNGState()], **settings)
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    return weights(module), Path(best.best_model_path).name, best.best_model_score.item()


@pytest.mark.parametrize("name", SCHEDULES)
def test_resuming_from_any_checkpoint_repeats_the_validations_that_follow(name, tiny_backbone, tmp_path):
    schedule, accumulate, every = SCHEDULES[name]
    whole = History()
    copies = Copies(whole, tmp_path / "copies", every_n_steps=every)
    expected = fit(tiny_backbone, tmp_path, copies, whole, schedule, accumulate)
    found = sorted(copies.directory.glob("copy-*"))
    assert len(found) >= 4
    for path in found[:-1]:
        step, validations = (int(part) for part in path.stem.split("-")[2:])
        torch.manual_seed(step)
        resumed = History()
        last = LastCheckpoint(every_n_steps=every, dirpath=str(tmp_path / "last"))
        end = fit(tiny_backbone, tmp_path, last, resumed, schedule, accumulate, path)
        assert resumed.validations == whole.validations[validations:], path.name
        assert furthest(end[0], expected[0]) == 0, path.name
        assert end[1:] == expected[1:], path.name
