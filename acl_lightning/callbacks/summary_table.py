"""The end of a run in the terminal: exit by exit, and what the operating points buy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.callbacks.points_table import NOT_BETTER, new_table, point_notes, points_table


class SummaryTable(Callback):
    """Prints, at the end of `validate`, what `ExitSweep` found. Must stand in the Trainer beside it.

    Attributes:
        console: where to print; None: the terminal, as it is when the table is due.
    """

    console: Console | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print on rank zero, after a `validate` in which a sweep took place."""
        if trainer.state.fn != TrainerFn.VALIDATING or not trainer.is_global_zero:
            return
        sweep = next((one for one in trainer.callbacks if isinstance(one, ExitSweep)), None)  # type: ignore[attr-defined]
        if sweep and sweep.summary:
            task = str(getattr(pl_module, "task_name", "task"))
            (self.console or Console()).print(closing_tables(sweep.summary, task, Path(trainer.default_root_dir)))


def closing_tables(summary: Mapping[str, Any], task: str, directory: Path) -> RenderableType:
    """The tables for a summary of `ExitSweep`: every exit, every recommended point, and where the files are."""
    samples = summary["samples"]
    heading = (
        f"{task}: report half of the validation data, n = {samples['report']}; "
        f"thresholds were chosen on the other half, n = {samples['selection']}"
    )
    parts: list[RenderableType] = [Text(heading, style="bold"), _exits(summary), points_table(summary)]
    parts += [*point_notes(summary), *_unreachable(summary), *_silence(summary)]
    parts += _difficulty(summary)
    spaced = [line for part in parts for line in (part, "")]
    return Group("", *spaced, f"Files: {directory}")


def _exits(summary: Mapping[str, Any]) -> Table:
    table = new_table("Quality of each exit, if all leave there")
    table.add_column("exit layer")
    for metric in summary["metric_names"]:
        table.add_column(f"{metric} %", justify="right")
    table.add_column(f"leave at {summary['highlighted']} %", justify="right")
    shares = summary["recommended"][summary["highlighted"]]["shares"]
    weak = summary["baseline"]["exits_not_better"]
    for row, share in zip(summary["per_exit"], shares, strict=True):
        first, *others = (f"{100 * row[metric]:.1f}" for metric in summary["metric_names"])
        marked = f"{first}{NOT_BETTER if row['layer'] in weak else ' '}"
        table.add_row(str(row["layer"]), marked, *others, f"{100 * share:.1f}")
    return table


def _difficulty(summary: Mapping[str, Any]) -> list[Text]:
    """Whether harder samples go deeper, where the data know how hard a sample is."""
    found = summary["difficulty"]
    if not found:
        return []
    layers = ", ".join(f"{grade}: {layer:.1f}" for grade, layer in found["mean_exit_layer"].items())
    rank = "undefined, all equal" if found["spearman"] is None else f"{found['spearman']:.2f}"
    return [
        Text(f"Rank correlation of exit layer and difficulty at {summary['highlighted']}: {rank}"),
        Text(f"Mean exit layer by difficulty grade: {layers}"),
    ]


def _unreachable(summary: Mapping[str, Any]) -> list[Text]:
    """Which budgets no operating point keeps; without it their rows would just be missing."""
    names = summary["unreachable"]
    return [Text(f"No operating point keeps {', '.join(names)} on the selection half.", style="yellow")] * bool(names)


def _silence(summary: Mapping[str, Any]) -> list[Text]:
    """A plain sentence where no recommended point is any faster than full depth."""
    if len(summary["exit_layers"]) == 1:
        return [Text("The model has one exit: there is nothing to leave early.")]
    if any(point["leaves_early"] for point in summary["recommended"].values()):
        return []
    if not summary["leaves_early"]:
        sentence = (
            "No sample leaves early at any threshold of any criterion: nothing here is an early exit. Train longer, "
            "or sweep lower thresholds (exit_sweep.thresholds)."
        )
        return [Text(sentence, style="yellow")]
    sentence = (
        "No sample leaves early at any recommended point: within these losses early exit gains nothing here. "
        "Train longer, or accept a larger loss (max_drops)."
    )
    return [Text(sentence, style="yellow")]
