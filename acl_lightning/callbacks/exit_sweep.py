"""After a run's validation: every criterion at every threshold, as a table, figures and recommended points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from matplotlib.figure import Figure

from acl_lightning.callbacks.exit_record import record_of
from acl_lightning.callbacks.logger_media import show_figure, show_table
from acl_lightning.callbacks.sweep_figures import exits_figure, majority_quality, sweep_figure
from acl_lightning.callbacks.sweep_summary import (
    SweptModule,
    csv_text,
    difficulty_summary,
    summarise,
    sweep_scalars,
    table_rows,
)
from acl_lightning.callbacks.sweep_trust import (
    calibration_summary,
    group_counts,
    histograms,
    trust_figures,
)
from acl_lightning.callbacks.validation_record import Columns, columns_of, gathered, joined
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Budget,
    Criterion,
    ExitRecord,
    MaxDrop,
    MinSpeedup,
    OperatingPoint,
    check_grids,
    cross_fit,
    describe_recommended,
    drop_name,
    recommend,
    sweep,
    variant_of,
)
from acl_lightning.exits.criteria.learnt_gate import check_gate
from acl_lightning.exits.evaluation.description import RESAMPLES
from acl_lightning.exits.evaluation.record import FILE_NAME
from acl_lightning.exits.evaluation.selection import check_names
from acl_lightning.exits.evaluation.sweep import Quality
from acl_lightning.exits.evaluation.swept_criteria import every_criterion, readable_criteria
from acl_lightning.files import replaced_atomically, write_text_atomically


class ExitSweep(Callback):
    """Collects the exit logits of the first validation set and measures all exit criteria on them.

    Runs in `validate` only (the command line validates the best checkpoint after `fit`), not in the validations during
    training. Rank zero writes into the run directory (`trainer.default_root_dir`): `exit_sweep.csv` (a row per
    criterion, setting and threshold), `exit_logits.npz` (from which any curve can be computed again, see `ExitRecord`),
    `speed_quality.png` and `.svg`, `per_exit.png`, `exit_histogram.png`, `reliability.png`; loggers that can show
    tables and figures get them too. FLOPs are those of a sample of the mean number of tokens, rounded.

    Attributes:
        summary: Everything that was measured, in plain JSON types (see `summarise`, and `describe_recommended` for
            `recommended` and `baseline`); empty before a sweep, and on other ranks than zero.
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
    ) -> None:
        """Set what is swept and what is recommended.

        Args:
            criteria: criteria with different names; default: confidence, entropy, margin, patience, PCEE, F-PABEE, and
                the learnt gate where the model has one. Static exits are always measured. For a regression, those that
                cannot read one are left out.
            max_drops: acceptable losses against full depth, in points; each gives a recommended operating point.
            thresholds: ascending thresholds to try in place of a criterion's full grid, by the criterion's name.
            min_speedups: layer speed-ups to be reached; each gives the best point that is so fast (`speed2`).
            budgets: further budgets, with names of their own if you like: `MaxDrop`, `MinSpeedup`, `MaxLatency`.
            calibrate: divide each exit's logits by a temperature of its own, fitted on the selection half, before the
                criteria see them. `predict` does the same at the recommended points.
            cross_fit: also report what the budgets give when both halves take turns (`cross_fitted` in the summary).

        Raises:
            UserError: no loss, a loss below 0, two criteria or budgets of one name, or thresholds that are empty, do
                not ascend, are out of the criterion's range or of no criterion.
        """
        self.criteria = criteria if criteria is not None else every_criterion()
        self.max_drops = tuple(max_drops)
        self.thresholds = thresholds or {}
        self.summary: dict[str, Any] = {}
        self.calibrate, self.cross_fit = calibrate, cross_fit
        self._batches: list[Columns] = []
        self._chosen_by_user = criteria is not None
        names = [criterion.name for criterion in self.criteria]
        if len(set(names)) < len(names):
            raise UserError("exit criteria with different names", ", ".join(names), "Remove one from ExitSweep.")
        check_grids(self.criteria, self.thresholds)
        if not self.max_drops or not all(loss >= 0 for loss in self.max_drops):
            raise UserError("max_drops of 0 points or more", f"{list(self.max_drops)}", "Give e.g. [0, 1, 2].")
        self.budgets: list[Budget] = [
            *(MaxDrop(loss) for loss in self.max_drops),
            *(MinSpeedup(times) for times in min_speedups),
            *(budgets or []),
        ]
        check_names(self.budgets)

    @property
    def highlighted(self) -> str:
        """Name of the operating point that figures and tables show exit by exit: the loss nearest to 1 point."""
        return drop_name(min(self.max_drops, key=lambda loss: abs(loss - 1)))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse before the training what could only fail after it.

        Raises:
            UserError: The task has no classes and `calibrate` is on; a table of measured times is about a model with
                other exits; or `LearntGate` is to be swept and the model has no gate.
        """
        if self.calibrate and getattr(pl_module, "label_names", None) == []:
            raise UserError("classes to calibrate", "a regression", "Set exit_sweep.calibrate=false.")
        layers: tuple[int, ...] | None = getattr(pl_module, "exit_layers", None)
        for budget in self.budgets:
            if layers is not None:
                budget.check_exits(layers)
        encoder = getattr(pl_module, "encoder", None)
        if encoder is not None and encoder.gate is None and self._chosen_by_user:
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
        """Keep what the exits said about a batch of the first validation set."""
        if trainer.state.fn == TrainerFn.VALIDATING and dataloader_idx == 0:
            self._batches.append(columns_of(outputs))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sweep, write, show."""
        if trainer.state.fn != TrainerFn.VALIDATING or trainer.sanity_checking or not self._batches:
            return
        columns = gathered(joined(self._batches), trainer.world_size)
        self._batches = []
        if not trainer.is_global_zero:
            return
        module = cast(SweptModule, pl_module)
        record = record_of(columns, module)
        criteria = readable_criteria(self.criteria, record, keep_gate=self._chosen_by_user, calibrate=self.calibrate)
        points = self._swept(record, criteria, module)
        recommended = recommend(points, self.budgets)
        described, baseline = describe_recommended(
            record, points, recommended, criteria, module.metric_names[0], self._quality(module)
        )
        chosen = recommended[self.highlighted]
        criterion = variant_of(chosen, criteria, record.logits_EBC.shape[-1])
        self.summary = {
            **summarise(columns, points, module),
            "recommended": described,
            "baseline": baseline,
            "highlighted": self.highlighted,
            "difficulty": difficulty_summary(columns, criterion, chosen.threshold, module.exit_layers),
            "unreachable": [budget.name for budget in self.budgets if budget.name not in recommended],
            "calibration": calibration_summary(record),
            "calibrated": self.calibrate,
            "exit_histogram": histograms(record, criterion, chosen.threshold),
            "group_counts": group_counts(record),
            "label_names": list(getattr(module, "label_names", None) or []),
            "majority_quality": majority_quality(record, module),
            "resamples": RESAMPLES,
        }
        if self.cross_fit:
            turned = self._swept(replace(record, selection_B=~record.selection_B), criteria, module)
            self.summary["cross_fitted"] = {
                name: asdict(found) for name, found in cross_fit(points, turned, self.budgets).items()
            }
        record.save(Path(trainer.default_root_dir) / FILE_NAME)
        pl_module.log_dict(sweep_scalars(self.summary), rank_zero_only=True)
        self._publish(trainer, module, points, recommended, record.logits_EBC.shape[-1])

    def _swept(self, record: ExitRecord, criteria: Sequence[Criterion], module: SweptModule) -> list[OperatingPoint]:
        grids = {f"calibrated_{name}" if self.calibrate else name: grid for name, grid in self.thresholds.items()}
        return sweep(
            record.logits_EBC,
            record.labels_B,
            criteria,
            quality=self._quality(module),
            selection_B=record.selection_B,
            gates_EB=record.gates_EB,
            thresholds={one.name: grids[one.name] for one in criteria if one.name in grids},
            costs=record.costs,
        )

    @staticmethod
    def _quality(module: SweptModule) -> Quality:
        return lambda predictions_n, labels_n: module.quality(module.metric_names[0], predictions_n, labels_n)

    def _publish(
        self,
        trainer: Trainer,
        module: SweptModule,
        points: list[OperatingPoint],
        recommended: Mapping[str, OperatingPoint],
        num_classes: int,
    ) -> None:
        directory = Path(trainer.default_root_dir)
        header, rows = table_rows(points, module.exit_layers)
        write_text_atomically(directory / "exit_sweep.csv", csv_text(header, rows))
        title = f"{module.task_name}, report half of validation, n = {self.summary['samples']['report']}"
        figures = {
            "speed_quality": sweep_figure(points, recommended, self.summary, num_classes=num_classes, title=title),
            "per_exit": exits_figure(self.summary, title),
            **trust_figures(self.summary, title),
        }
        _save(figures["speed_quality"], directory / "speed_quality.svg")
        for name, figure in figures.items():
            _save(figure, directory / f"{name}.png")
        for logger in trainer.loggers:
            show_table(logger, "exit_sweep", header, rows)
            for name, figure in figures.items():
                show_figure(logger, name, figure, directory / f"{name}.png", trainer.global_step)


def _save(figure: Figure, path: Path) -> None:
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, dpi=150)
