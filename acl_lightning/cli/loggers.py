"""Loggers in the configuration of a run: W&B's for an agent, and the directory of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import Namespace


def configured_loggers(loggers: Any) -> list[Namespace]:
    """Return the loggers that `trainer.logger` lists: none for null and booleans, one or several otherwise."""
    listed = loggers if isinstance(loggers, list) else [loggers]
    return [logger for logger in listed if isinstance(logger, Namespace)]


def with_wandb(loggers: Any) -> Any:
    """Return loggers with W&B's, which reports the metric of a sweep, unless it is among them or logging is off."""
    listed = configured_loggers(loggers)
    if loggers in (None, False) or any("WandbLogger" in logger.class_path for logger in listed):
        return loggers
    settings = Namespace(save_dir="", name=None)  # type: ignore[no-untyped-call]
    logger = Namespace(class_path="lightning.pytorch.loggers.WandbLogger", init_args=settings)  # type: ignore[no-untyped-call]
    return [*listed, logger]


def write_into(logger: Namespace, directory: Path) -> None:
    """Set the directory of a logger to a new folder inside the run directory. CSVLogger empties an existing one."""
    settings = logger.init_args
    kind = logger.class_path.rpartition(".")[2]
    if "save_dir" in settings:
        settings.save_dir = str(directory)
    if kind == "WandbLogger":
        settings.name = settings.name or directory.name
    elif "version" in settings and "name" in settings:
        base = {"CSVLogger": "logs", "TensorBoardLogger": "tensorboard"}.get(kind, kind)
        taken = sum(1 for _ in directory.glob(f"{base}*"))
        settings.name, settings.version = "", f"{base}-{taken}" if taken else base
