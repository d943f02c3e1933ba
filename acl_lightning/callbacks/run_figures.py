"""Figures of a run, which `exit_sweep.figures=false` leaves out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import Trainer
from matplotlib.figure import Figure

from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.callbacks.logger_media import show_figure
from acl_lightning.files import save_figure
from acl_lightning.training.trainer_attributes import find_callback


def write_figure(trainer: Trainer, key: str, file: str, draw: Callable[[], Figure]) -> None:
    """Draw a figure, save it in the run directory and show it in the loggers; do nothing in a run without figures.

    Args:
        trainer: The trainer.
        key: Name of the figure in the loggers.
        file: Name of the PNG file.
        draw: Returns the figure.

    Raises:
        UserError: The file system refuses the write.
    """
    sweep = find_callback(trainer, ExitSweep)
    if sweep is not None and not sweep.figures:
        return
    figure, path = draw(), Path(trainer.default_root_dir) / file
    save_figure(figure, path)
    for logger in trainer.loggers:
        show_figure(logger, key, figure, path, trainer.global_step)
