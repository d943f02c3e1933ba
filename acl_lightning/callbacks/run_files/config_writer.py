"""Callback that writes the resolved configuration of a command."""

from __future__ import annotations

from pathlib import Path

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from acl_lightning.runs.records import write_config


class ConfigWriter(Callback):
    """Writes `config.yaml` (`fit`) or `COMMAND.yaml` into the run directory, and gives the settings to the loggers.

    The file is complete: `fit --config RUN/config.yaml` repeats the run in another directory. It is written before the
    first step, so a command that is refused earlier (data, checkpoint, settings) changes nothing. A resumed run keeps
    the earlier file under another name.

    Args:
        command: Name of the command.
        text: Resolved configuration as YAML.
    """

    def __init__(self, command: str, text: str) -> None:
        self.command = command
        self.text = text
        self._done = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write before the first training batch; the whole checkpoint is restored."""
        self._write(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write if there was nothing to train."""
        self._write(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write before the first batch of `validate`."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._write(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write before the first batch of `test`."""
        self._write(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write before the first batch of `predict`."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        """Write once, on the first process."""
        if self._done or not trainer.is_global_zero:
            return
        self._done = True
        write_config(Path(trainer.default_root_dir), self.command, self.text)
        for logger in trainer.loggers:
            logger.log_hyperparams(yaml.safe_load(self.text))
