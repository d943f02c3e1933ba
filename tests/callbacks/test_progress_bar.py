"""The progress bar counts epochs from 1 and shows no version number."""

from __future__ import annotations

import pytest
from fake_module import QUIET_TRAINER, FakeModule, loader, trainer_for
from lightning.pytorch.loggers import CSVLogger

from acl_lightning.callbacks import ProgressBar

pytestmark = QUIET_TRAINER


class Recorder(ProgressBar):
    """A progress bar that keeps what it shows."""

    def __init__(self):
        super().__init__()
        self.descriptions, self.shown = [], set()

    def _get_train_description(self, current_epoch):
        self.descriptions.append(super()._get_train_description(current_epoch).strip())
        return self.descriptions[-1]

    def get_metrics(self, trainer, pl_module):
        metrics = super().get_metrics(trainer, pl_module)
        self.shown |= set(metrics)
        return metrics


class Shown(FakeModule):
    """A module with a metric for the progress bar."""

    def training_step(self, batch, batch_idx):
        self.log("loss", 1.0, prog_bar=True)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(
    ("epochs", "steps", "expected"), [(1, -1, ["Epoch 1/1"]), (2, -1, ["Epoch 1/2", "Epoch 2/2"]), (-1, 3, ["Epoch 1"])]
)
def test_epochs_are_counted_from_one(epochs, steps, expected, tmp_path):
    bar = Recorder()
    logger = CSVLogger(tmp_path)
    settings = {"max_epochs": epochs, "max_steps": steps, "enable_progress_bar": True}
    trainer_for(tmp_path, bar, logger=logger, log_every_n_steps=1, **settings).fit(Shown(), loader(), loader())
    assert list(dict.fromkeys(bar.descriptions)) == expected
    assert bar.shown == {"loss"}
