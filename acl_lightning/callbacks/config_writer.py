"""The resolved configuration, kept beside a run's results and in its loggers."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from acl_lightning.files import write_text_atomically


class ConfigWriter(Callback):
    """Writes `config.yaml` (of `fit`) or `COMMAND.yaml` into the run directory and hands the settings to the loggers.

    The file is complete: `fit --config RUN/config.yaml` repeats the run in a directory of its own.

    Args:
        command: the subcommand.
        text: the resolved configuration as YAML.
    """

    def __init__(self, command: str, text: str) -> None:
        self.name = "config.yaml" if command == "fit" else f"{command}.yaml"
        self.text = text
        self._done = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write once, on the first process, before anything is trained. A resumed run keeps the earlier text too."""
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
