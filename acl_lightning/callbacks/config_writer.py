"""The resolved configuration, kept beside a run's results and in its loggers."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from acl_lightning.files import write_text_atomically


class ConfigWriter(Callback):
    """Writes `config.yaml` (of `fit`) or `COMMAND.yaml` into the run directory and hands the settings to the loggers.

    The file is complete: `fit --config RUN/config.yaml` repeats the run in a directory of its own. It is written when
    the first step is about to begin, so a command that is refused before (data, checkpoint, settings) changes nothing.

    Args:
        command: the subcommand.
        text: the resolved configuration as YAML.
    """

    def __init__(self, command: str, text: str) -> None:
        self.name = "config.yaml" if command == "fit" else f"{command}.yaml"
        self.text = text
        self._done = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write before the first training batch, when the whole checkpoint has been restored."""
        self._write(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write where there was nothing to train."""
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
        """Write once, on the first process. A resumed run keeps the earlier text too."""
        if self._done or not trainer.is_global_zero:
            return
        self._done = True
        path = Path(trainer.default_root_dir) / self.name
        if path.exists() and path.read_text(encoding="utf-8") != self.text:
            path.replace(_unused(path))
        write_text_atomically(path, self.text)
        settings: dict[str, Any] = yaml.safe_load(self.text)
        for logger in trainer.loggers:
            logger.log_hyperparams(settings)


def _unused(path: Path) -> Path:
    """`config.yaml` -> `config-1.yaml`, or the next number that is free."""
    return next(free for n in count(1) if not (free := path.with_stem(f"{path.stem}-{n}")).exists())
