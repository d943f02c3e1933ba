"""Losses and learning rates of a run as a figure, at the end of `fit`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure

from acl_lightning.callbacks.logger_media import show_figure
from acl_lightning.figures import training_figure
from acl_lightning.files import replaced_atomically

FILE_NAME = "training.png"

#: Name of a logged value -> its points (optimiser step, value), steps ascending.
Logged = dict[str, list[tuple[int, float]]]


class TrainingCurves(Callback):
    """Writes `training.png` at the end of `fit`: training losses, quality on the selection split, learning rates.

    The values are those that `CSVLogger` wrote into the run directory, of all parts of a resumed run. Without them
    nothing is written. Rank zero writes.
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what was logged."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        for logger in trainer.loggers:
            logger.save()  # CSVLogger writes every 100 values only
        directory = Path(trainer.default_root_dir)
        logged = read_logged(directory)
        if not logged:
            return
        figure = logged_figure(logged, title=f"{getattr(pl_module, 'task_name', 'task')}: training")
        with replaced_atomically(directory / FILE_NAME) as temporary:
            figure.savefig(temporary, dpi=150)
        for logger in trainer.loggers:
            show_figure(logger, "training", figure, directory / FILE_NAME, trainer.global_step)


def logged_figure(logged: Logged, title: str) -> Figure:
    """Return the figure of a run's logged values.

    A loss of the name `train/loss` is the total; it is left out where it equals its only term.

    Args:
        logged: See `read_logged`.
        title: Task.
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


def read_logged(directory: Path) -> Logged:
    """Read `logs*/metrics.csv` of a run directory.

    A run that was resumed has a file per part (`logs`, `logs-1`, ...). A part replaces what earlier parts logged from
    its first step on: those steps were trained again.
    """
    found: Logged = {}
    for path in sorted(directory.glob("logs*/metrics.csv"), key=lambda path: _number(path.parent.name)):
        with path.open(encoding="utf-8", newline="") as lines:
            part = _columns(csv.DictReader(lines))
        steps = [step for points in part.values() for step, _ in points]
        if not steps:
            continue
        earlier = {name: [point for point in points if point[0] < min(steps)] for name, points in found.items()}
        found = {name: earlier.get(name, []) + part.get(name, []) for name in dict.fromkeys([*earlier, *part])}
    return {name: points for name, points in found.items() if points}


def _columns(rows: Iterable[dict[str, str]]) -> Logged:
    """Return the numbers of every column of a log; cells that hold none are left out."""
    columns: dict[str, dict[int, float]] = {}
    for row in rows:
        for name, cell in row.items():
            if name not in ("step", "epoch", None) and cell and row.get("step"):
                columns.setdefault(name, {})[int(float(row["step"]))] = float(cell)
    return {name: sorted(points.items()) for name, points in columns.items()}


def _number(folder: str) -> tuple[int, str]:
    """Return the place of a part: `logs` is first, then `logs-1`, `logs-2`, ..., `logs-10`."""
    number = folder.rpartition("-")[2]
    return (int(number), folder) if number.isdigit() else (0, folder)


def _distinct(rates: Logged) -> Logged:
    """Merge groups of parameters that share their learning rate: `AdamW/pg1, AdamW/pg2`, or `all parameters`."""
    names_of: dict[tuple[tuple[int, float], ...], list[str]] = {}
    for name, points in rates.items():
        names_of.setdefault(tuple(points), []).append(name)
    if len(names_of) == 1:
        return {"all parameters": list(next(iter(names_of)))}
    return {", ".join(names): list(points) for points, names in names_of.items()}
