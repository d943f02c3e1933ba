"""Tests of when `LastCheckpoint` saves: a short epoch costs no save of its own."""

import pytest
from lightning.pytorch.callbacks import Callback
from training_runs import tiny_data, tiny_module, tiny_trainer

from acl_lightning.callbacks import LastCheckpoint
from acl_lightning.errors import UserError


class Saves(LastCheckpoint):
    """`LastCheckpoint` that records the step of every save instead of writing a file."""

    def __init__(self, every_n_steps: int) -> None:
        super().__init__(every_n_steps)
        self.steps: list[int] = []

    def _save(self, trainer) -> None:
        self.steps.append(trainer.global_step)
        self._saved_step = trainer.global_step


class StopAfter(Callback):
    """Asks the Trainer to stop at the end of an epoch, as early stopping does."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        trainer.should_stop = trainer.current_epoch == self.epoch


def saved_steps(backbone, directory, every_n_steps: int, *callbacks: Callback, **settings) -> list[int]:
    """Steps at which a run with epochs of 5 batches of 8 rows saves."""
    saves = Saves(every_n_steps)
    data = tiny_data(backbone, synthetic_rows=40)
    trainer = tiny_trainer(directory, callbacks=[*callbacks, saves], enable_checkpointing=True, **settings)
    trainer.fit(tiny_module(backbone, data), datamodule=data)
    return saves.steps


@pytest.mark.parametrize(
    ("every", "settings", "expected"),
    [
        (12, {"max_epochs": 6}, [12, 24, 30]),  # within epochs, and at the end
        (10, {"max_epochs": 5}, [10, 20, 25]),  # at the ends of epochs
        (200, {"max_epochs": 3}, [15]),
        (200, {"max_epochs": -1, "max_steps": 7}, [7]),
        (1, {"max_epochs": 1}, [1, 2, 3, 4, 5]),
    ],
)
def test_saves_follow_the_interval_and_the_end(tiny_backbone, tmp_path, every, settings, expected):
    assert saved_steps(tiny_backbone, tmp_path, every, **settings) == expected


def test_a_run_that_stops_early_is_saved(tiny_backbone, tmp_path):
    assert saved_steps(tiny_backbone, tmp_path, 200, StopAfter(1), max_epochs=5) == [10]


def test_an_interval_of_zero_is_refused():
    with pytest.raises(UserError, match=r"an interval >= 1; found 0\. Set last_checkpoint\.every_n_steps"):
        LastCheckpoint(0)
