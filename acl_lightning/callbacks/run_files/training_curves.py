"""Callback that draws losses, learning rates and quality at the end of `fit`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from acl_lightning.callbacks.run_figures import write_figure
from acl_lightning.figures import training_figure
from acl_lightning.runs.names import TRAINING_FIGURE
from acl_lightning.runs.records import Logged, read_metrics_log
from acl_lightning.training.trainer_attributes import is_fast_dev_run


class TrainingCurves(Callback):
    """Writes `training.png` at the end of `fit`: training losses, quality on the selection split, learning rates.

    The values are read from the files of `CSVLogger` in the run directory, from all parts of a resumed run. Without
    these files, or with `exit_sweep.figures=false`, nothing is written. Rank zero writes.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the logged values."""
        if not trainer.is_global_zero or is_fast_dev_run(trainer):
            return
        for logger in trainer.loggers:
            logger.save()  # a logger of the user may still hold values
        logged = read_metrics_log(Path(trainer.default_root_dir))
        if not logged:
            return
        title = f"{getattr(pl_module, 'task_name', 'task')}: training"
        write_figure(trainer, "training", TRAINING_FIGURE, partial(logged_figure, logged, title=title))


def logged_figure(logged: Logged, title: str) -> Figure:
    """Return the figure of the logged values of a run.

    `train/loss` is the total loss; it is left out where it equals the only term.

    Args:
        logged: Logged values, see `read_metrics_log`.
        title: Title of the figure.
    """
    losses = {
        name.removeprefix("train/"): points
        for name, points in logged.items()
        if name.startswith("train/") and name.count("/") == 1  # not the terms of each exit
    }
    total = losses.pop("loss", None)
    if total is not None and list(losses.values()) != [total]:
        losses = {"total loss": total, **losses}
    rates = {name.removeprefix("lr-"): points for name, points in logged.items() if name.startswith("lr-")}
    quality = {"selection split": logged["val/selection"]} if "val/selection" in logged else {}
    return training_figure(losses, _distinct(rates), quality, title=title)


def _distinct(rates: Logged) -> Logged:
    """Merge groups of parameters that share their learning rate: `AdamW/pg1, AdamW/pg2`, or `all parameters`."""
    names_of: dict[tuple[tuple[int, float], ...], list[str]] = {}
    for name, points in rates.items():
        names_of.setdefault(tuple(points), []).append(name)
    if len(names_of) == 1:
        return {"all parameters": list(next(iter(names_of)))}
    return {", ".join(names): list(points) for points, names in names_of.items()}
