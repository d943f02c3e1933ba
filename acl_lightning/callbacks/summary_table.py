"""Summary of a run in the terminal: every exit and every recommended operating point."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from acl_lightning.callbacks.exit_sweep import ExitSweep
from acl_lightning.exits import SweepReport
from acl_lightning.tables import new_table, point_notes, points_table, quality_text
from acl_lightning.training.trainer_attributes import find_callback


class SummaryTable(Callback):
    """Prints the results of `ExitSweep` at the end of `validate`. The Trainer must have both callbacks.

    Attributes:
        console: Console to print to; None: the terminal at the time of printing.
    """

    console: Console | None = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print on rank zero, after a `validate` with a sweep."""
        if trainer.state.fn != TrainerFn.VALIDATING or not trainer.is_global_zero:
            return
        sweep = find_callback(trainer, ExitSweep)
        if sweep is not None and sweep.report is not None:
            task = str(getattr(pl_module, "task_name", "task"))
            (self.console or Console()).print(summary_tables(sweep.report, task, Path(trainer.default_root_dir)))


def summary_tables(report: SweepReport, task: str, directory: Path) -> RenderableType:
    """Return the tables of a report: every exit, every recommended point, and the run directory.

    Args:
        report: Results of the sweep.
        task: Name of the task.
        directory: The run directory.
    """
    heading = (
        f"{task}: {report.samples.report_text}; "
        f"thresholds were selected on the selection split, {report.samples.selection_text}"
    )
    parts: list[RenderableType] = [Text(heading, style="bold"), _exits(report), points_table(report)]
    parts += [*point_notes(report), *_unreachable(report), *_no_early_exit(report), *_difficulty(report)]
    spaced = [line for part in parts for line in (part, "")]
    return Group("", *spaced, f"Files: {directory}")


def _exits(report: SweepReport) -> Table:
    table = new_table("Quality of each exit if all samples leave there")
    table.add_column("exit layer")
    for metric in report.metric_names:
        table.add_column(f"{metric} %", justify="right")
    shares: tuple[float, ...] = ()
    if report.highlighted is not None:
        table.add_column(f"leave at {report.highlighted} %", justify="right")
        shares = report.recommended[report.highlighted].shares
    weak = report.baseline.exits_not_better if report.baseline is not None else ()
    for number, exit_ in enumerate(report.per_exit):
        first, *others = (exit_.metrics[metric] for metric in report.metric_names)
        cells = [quality_text(first, weak=exit_.layer in weak), *(quality_text(value).strip() for value in others)]
        table.add_row(str(exit_.layer), *cells, *(f"{100 * share:.1f}" for share in shares[number : number + 1]))
    return table


def _difficulty(report: SweepReport) -> list[Text]:
    """Return how difficulty and exit layer relate, where the difficulty of the samples is known."""
    difficulty = report.difficulty
    if difficulty is None:
        return []
    layers = ", ".join(f"{grade}: {layer:.1f}" for grade, layer in difficulty.mean_exit_layer.items())
    rank = "undefined, all equal" if difficulty.spearman is None else f"{difficulty.spearman:.2f}"
    return [
        Text(f"Rank correlation of exit layer and difficulty at {report.highlighted}: {rank}"),
        Text(f"Mean exit layer by difficulty grade: {layers}"),
    ]


def _unreachable(report: SweepReport) -> list[Text]:
    """Return the budgets that no operating point keeps; without this note their rows would just be missing."""
    if not report.unreachable:
        return []
    names = ", ".join(report.unreachable)
    return [Text(f"No operating point keeps {names} on the selection split.", style="yellow")]


def _no_early_exit(report: SweepReport) -> list[Text]:
    """Return a note where no recommended point is faster than full depth."""
    if len(report.exit_layers) == 1:
        return [Text("The model has one exit: no sample can leave early.")]
    if any(point.leaves_early for point in report.recommended.values()):
        return []
    if not report.leaves_early:
        sentence = (
            "No sample leaves early at any threshold of any criterion: the model has no early exit in effect. Train "
            "longer, or sweep lower thresholds (exit_sweep.thresholds)."
        )
    else:
        sentence = (
            "No sample leaves early at any recommended point: within these drops early exit gains nothing here. "
            "Train longer, or accept a larger drop (exit_sweep.max_drops)."
        )
    return [Text(sentence, style="yellow")]
