"""The resolved configuration, kept beside a run's results and in its loggers."""

from __future__ import annotations

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

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write once, on the first process, before anything is trained."""
        if not trainer.is_global_zero:
            return
        path = Path(trainer.default_root_dir) / self.name
        if not path.exists():
            write_text_atomically(path, self.text)
            settings: dict[str, Any] = yaml.safe_load(self.text)
            for logger in trainer.loggers:
                logger.log_hyperparams(settings)
