"""Exit sweep after the validation of a run: collects exit logits, evaluates them and writes the results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from acl_lightning.callbacks.logger_media import show_figure, show_table
from acl_lightning.callbacks.sweep_figures import report_figures
from acl_lightning.callbacks.validation_record import columns_of, record_of
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Budget,
    Criterion,
    Ensemble,
    MaxDrop,
    MinSpeedup,
    SweepReport,
    check_grids,
    default_criteria,
    evaluate,
)
from acl_lightning.exits.criteria.learnt_gate import check_gate
from acl_lightning.exits.evaluation.candidates import check_unfitted
from acl_lightning.exits.evaluation.operating_point import table_rows
from acl_lightning.exits.evaluation.selection import check_cross_fit, check_names
from acl_lightning.files import save_figure
from acl_lightning.runs.names import SPEED_QUALITY
from acl_lightning.runs.records import write_exit_logits, write_sweep
from acl_lightning.training.sample_columns import Columns, gathered, joined
from acl_lightning.training.trainer_attributes import selection_source

if TYPE_CHECKING:
    from acl_lightning.training.evaluation_module import EvaluationModule


class ExitSweep(Callback):
    """Collects the exit logits of the first validation set and evaluates all exit criteria on them.

    Runs in `validate` only (the command line validates the best checkpoint after `fit`), not in the validations during
    training. Rank zero writes into the run directory (`trainer.default_root_dir`): `exit_sweep.csv` (a row per
    criterion, setting and threshold), `exit_logits.npz` (from which any curve can be computed again, see `ExitRecord`),
    `speed_quality.png` and `.svg`, `per_exit.png`, `exit_histogram.png`, `reliability.png`. Loggers that can show
    tables and figures receive them too.

    Attributes:
        report: Results of the sweep; None before a sweep, and on other ranks than zero.
    """

    def __init__(
        self,
        criteria: list[Criterion] | None = None,
        max_drops: tuple[float, ...] = (0.0, 1.0, 2.0),
        thresholds: dict[str, list[float]] | None = None,
        min_speedups: tuple[float, ...] = (),
        budgets: list[Budget] | None = None,
        calibrate: bool = False,
        cross_fit: bool = False,
        ensemble: Ensemble | None = None,
        figures: bool = True,
    ) -> None:
        """Set which criteria are swept and which operating points are recommended.

        Args:
            criteria: Criteria with different names. None: confidence, entropy, margin, patience, PCEE, F-PABEE, and
                the learnt gate where the model has a gate. Static exits are always measured. For a regression, criteria
                that cannot read a regression are left out. `PrototypeMargin` is swept if it is named.
            max_drops: Acceptable drops in quality against full depth, in points; each gives an operating point.
            thresholds: Ascending thresholds to use instead of a criterion's full grid, by the criterion's name.
            min_speedups: Layer speed-ups to reach; each gives the best point of at least that speed (`speed2`).
            budgets: Further budgets: `MaxDrop`, `MinSpeedup`, `MaxLatency`, `MinMeasuredSpeedup`.
            calibrate: Divide each exit's logits by a temperature, fitted on the selection split, before the criteria
                read them. `predict` does the same at the recommended points.
            cross_fit: Also report the budgets with both splits taking turns (`cross_fitted` in the report). Requires
                `data.selection=validation`.
            ensemble: Rule for the weights of an ensemble of exits (`LearntEnsemble`, `UniformEnsemble`): the answer at
                an exit is the geometric mean of the exits up to it. None: every exit answers alone.
            figures: Whether the run draws figures: those of the sweep, which take longer than the sweep itself,
                `training.png`, and those of other callbacks. `python -m acl_lightning validate` draws those of the
                sweep later.

        Raises:
            UserError: No drop, a negative drop, two criteria or budgets of the same name, a budget with a confidence
                beside something that is fitted, or thresholds that are empty, do not ascend, are out of range or belong
                to no criterion.
        """
        self.criteria = criteria
        self.max_drops = tuple(max_drops)
        self.thresholds = thresholds or {}
        self.calibrate, self.cross_fit, self.ensemble = calibrate, cross_fit, ensemble
        self.figures = figures
        self.report: SweepReport | None = None
        self._batches: list[Columns] = []
        names = [criterion.name for criterion in criteria or ()]
        if len(set(names)) < len(names):
            raise UserError("exit criteria with different names", ", ".join(names), "Remove one of them.")
        check_grids(default_criteria() if criteria is None else criteria, self.thresholds)
        if not self.max_drops or not all(points >= 0 for points in self.max_drops):
            raise UserError(
                "max_drops of 0 points or more", f"{list(self.max_drops)}", "Set exit_sweep.max_drops=[0,1,2]."
            )
        self.budgets: list[Budget] = [
            *(MaxDrop(points) for points in self.max_drops),
            *(MinSpeedup(times) for times in min_speedups),
            *(budgets or []),
        ]
        check_names(self.budgets)
        for budget in self.budgets:
            check_unfitted(budget, calibrate=calibrate, ensemble=ensemble)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check before the training what would fail after it.

        Raises:
            UserError: The task has no classes and `calibrate` or an ensemble is on; `cross_fit` is on and the selection
                split is taken from the training rows; a table of measured times belongs to a model with other exits; a
                budget does not support the metric; or `LearntGate` is to be swept and the model has no gate.
        """
        is_regression = getattr(pl_module, "label_names", None) == []
        if self.calibrate and is_regression:
            raise UserError("classes to calibrate", "a regression", "Set exit_sweep.calibrate=false.")
        if self.cross_fit:
            check_cross_fit(selection_source(trainer))
        if self.ensemble is not None and is_regression:
            raise UserError("classes for an ensemble of exits", "a regression", "Set exit_sweep.ensemble=null.")
        layers: tuple[int, ...] | None = getattr(pl_module, "exit_layers", None)
        metrics: list[str] | None = getattr(pl_module, "metric_names", None)
        for budget in self.budgets:
            if layers is not None:
                budget.check_exits(layers)
            if metrics:
                budget.check_metric(metrics[0])
        encoder = getattr(pl_module, "encoder", None)
        if encoder is not None and encoder.gate is None and self.criteria is not None:
            check_gate(self.criteria)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a new record."""
        self._batches = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the exit logits of a batch of the first validation set."""
        if trainer.state.fn == TrainerFn.VALIDATING and dataloader_idx == 0:
            module = cast("EvaluationModule", pl_module)
            reads_cosines = any(criterion.reads_cosines for criterion in self.criteria or ())
            self._batches.append(columns_of(outputs, module if reads_cosines else None))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Evaluate the record, write the files and inform the loggers."""
        if trainer.state.fn != TrainerFn.VALIDATING or trainer.sanity_checking or not self._batches:
            return
        columns = gathered(joined(self._batches), trainer.world_size)
        self._batches = []
        if not trainer.is_global_zero:
            return
        module = cast("EvaluationModule", pl_module)
        record = record_of(columns, module, selection_source(trainer))
        self.report = evaluate(
            record,
            self.criteria,
            self.budgets,
            module.metric_names,
            thresholds=self.thresholds,
            calibrate=self.calibrate,
            ensemble=self.ensemble,
            cross_fitted=self.cross_fit,
            label_names=getattr(module, "label_names", None) or (),
        )
        write_exit_logits(Path(trainer.default_root_dir), record)
        pl_module.log_dict(report_scalars(self.report), rank_zero_only=True)
        self._publish(trainer, self.report, module.task_name)

    def _publish(self, trainer: Trainer, report: SweepReport, task_name: str) -> None:
        directory = Path(trainer.default_root_dir)
        header, rows = table_rows(report.points, report.exit_layers)
        write_sweep(directory, header, rows)
        figures = report_figures(report, f"{task_name}, {report.samples.report_text}") if self.figures else {}
        if SPEED_QUALITY in figures:
            save_figure(figures[SPEED_QUALITY], directory / f"{SPEED_QUALITY}.svg")
        for name, figure in figures.items():
            save_figure(figure, directory / f"{name}.png")
        for logger in trainer.loggers:
            show_table(logger, "exit_sweep", header, rows)
            for name, figure in figures.items():
                show_figure(logger, name, figure, directory / f"{name}.png", trainer.global_step)


def report_scalars(report: SweepReport) -> dict[str, float]:
    """Return the scalars of a report for loggers and callback metrics, so that a study can optimise them.

    All are measured on the report split:

    - `exit/area/CRITERION`: area under the quality-speed curve of each criterion;
    - `exit/area`: the area of the criterion of the highlighted operating point, which the selection split selects;
    - `exit/POINT/quality`, `exit/POINT/layer_speedup`, `exit/POINT/flops_speedup` of each operating point.
    """
    scalars = {f"exit/area/{name}": area for name, area in report.area_under_curve.items()}
    if report.highlighted is not None:
        scalars["exit/area"] = report.area_under_curve[report.recommended[report.highlighted].criterion_name]
    for name, point in report.recommended.items():
        scalars[f"exit/{name}/quality"] = point.quality
        scalars[f"exit/{name}/layer_speedup"] = point.layer_speedup
        scalars[f"exit/{name}/flops_speedup"] = point.flops_speedup
    return scalars
