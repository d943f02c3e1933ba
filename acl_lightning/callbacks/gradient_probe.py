"""Comparison of the protected term's gradient with those of any terms, also of terms that are not trained."""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.hooks import RemovableHandle

from acl_lightning.callbacks.run_figures import write_figure
from acl_lightning.errors import UserError
from acl_lightning.figures import AnglePanel, gradient_angles_figure
from acl_lightning.gradients import (
    AllParameters,
    GradientComparer,
    PerLayer,
    Representation,
    Scope,
    TopLayers,
    scope_name,
)
from acl_lightning.objectives import Objective, Term, WeightedObjective
from acl_lightning.outputs import ExitOutputs
from acl_lightning.runs.names import GRADIENT_FIGURE, GRADIENTS
from acl_lightning.runs.records import GradientComparison, MissingFile, read_comparisons, write_comparisons
from acl_lightning.training.module import ACLModule
from acl_lightning.training.trainer_attributes import datamodule_of

#: Name of the scope that is always compared over.
WHOLE = scope_name(AllParameters())

_log = logging.getLogger(__name__)


class GradientProbe(Callback):
    """Compares the gradient of the protected term with those of any terms, without changing the training.

    The gradients are taken on the graph of the training forward pass: the same dropout, batch and precision, no second
    forward pass, no random number drawn, no `.grad` written. A run with the callback therefore ends with the same bits
    as a run without, and training on cross-entropy alone can be compared with the terms of SCL and ACL.

    For every recorded batch and term it keeps the cosine and the norms (see `GradientComparison`) over all parameters
    that both terms reach (`AllParameters`) and over each group of the other scopes, so that the decisions of cheaper
    scopes can be compared with those over all parameters. The protected gradient is that of the objective's first term,
    with its weights; a probed term has the objective's exit weights for auxiliary terms and weight 1. With several
    processes the gradients are averaged first, as in training; with a loss scaler the norms are unscaled. With
    accumulation every micro-batch has its own records, whereas training decides once per optimiser step. Frozen
    parameters are left out, and with training in stages so are the exits that a stage does not train.

    Rank zero writes `gradient_probe.csv` into the run directory: with every checkpoint (so that a resumed run has every
    step once), at the end of every epoch, and when the training ends or fails. At the end of training it writes
    `gradient_angles.png`. Loggers get `gradient_probe/angle/<term>`, `gradient_probe/cosine/<term>` and
    `gradient_probe/conflict_rate/<term>` (share of the recorded batches so far).

    A recorded batch costs a backward pass per term and another for the protected term, and memory for two gradients.

    Args:
        terms: Terms to compare; their names must differ.
        every_n_steps: Interval between recorded batches, in training batches.
        scopes: Scopes to compare over beside `AllParameters`. Default: `PerLayer`, `TopLayers(1)`, `Representation`.

    Raises:
        UserError: No term, two terms with the same name, an interval below 1, or a repeated scope. When training
            starts: the objective is no `WeightedObjective`, the task or the model does not fit a term, a term needs
            more views than the objective or has a memory queue, or parameters are sharded.
    """

    def __init__(self, terms: list[Term], every_n_steps: int = 1, scopes: list[Scope] | None = None) -> None:
        others = [PerLayer(), TopLayers(1), Representation()] if scopes is None else scopes
        self.terms = terms
        self.every_n_steps = every_n_steps
        self.scopes: list[Scope] = [AllParameters(), *others]
        self.records: list[GradientComparison] = []
        self.batches = 0
        self._overall: dict[str, list[GradientComparison]] = {}
        self._objective: WeightedObjective | None = None
        self._hook: RemovableHandle | None = None
        self._batch: dict[str, Any] | None = None
        _check(terms, every_n_steps, [scope_name(scope) for scope in self.scopes])

    # -- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the number of batches and the state of the terms; the records are in the file."""
        return {"batches": self.batches, "terms": {term.name: term.state_dict() for term in self.terms}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the batches of the checkpoint."""
        self.batches = state_dict["batches"]
        for term in self.terms:
            term.load_state_dict(state_dict["terms"].get(term.name, term.state_dict()))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write the records up to the checkpoint."""
        self._write(trainer)

    # -- comparing --------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the records of a resumed run, check and prepare the terms, and observe the module's forward passes."""
        assert isinstance(pl_module, ACLModule)
        self.records = []
        if self.batches:
            with contextlib.suppress(MissingFile):
                earlier = read_comparisons(Path(trainer.default_root_dir))
                self.records = [record for record in earlier if record.step < self.batches]
        self._overall = {
            term.name: [record for record in self.records if (record.term, record.scope) == (term.name, WHOLE)]
            for term in self.terms
        }
        self._objective = _with_terms(pl_module.objective, self.terms).to(pl_module.device)
        classes = bool(pl_module.label_names)
        self._objective.check(classes=classes, num_exits=len(pl_module.exit_layers))
        _check_samples(self._objective, pl_module.objective)
        pl_module.stages.check(self._objective, classes=classes)
        data = datamodule_of(trainer)
        if classes and hasattr(data, "class_counts"):
            for term in self.terms:
                term.prepare(data.class_counts().to(pl_module.device))
        self._hook = pl_module.register_forward_hook(partial(self._compare, trainer))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Decide whether the next forward pass is recorded."""
        self._batch = batch if self.batches % self.every_n_steps == 0 else None

    def _compare(self, trainer: Trainer, module: nn.Module, arguments: tuple[Any, ...], outputs: ExitOutputs) -> None:
        batch, self._batch = self._batch, None
        if batch is None or not trainer.training:
            return
        assert isinstance(module, ACLModule)
        assert self._objective is not None
        inputs, labels_B = module.objective_inputs(outputs, batch)
        protected = next(iter(module.objective(inputs, labels_B).values()))
        _, *terms = self._objective(inputs, labels_B).items()
        scale = 1.0 if module.loss_scaler is None else float(module.loss_scaler.get_scale())
        comparer = GradientComparer(
            scale * protected,
            module.encoder.named_parameters(),
            self.scopes,
            outputs.embeddings_EBD,
            world_size=trainer.world_size,
        )
        for name, term in terms:
            for scope, group, cosine, norm_protected, norm_term in comparer.compare(scale * term):
                norms = (norm_protected / scale, norm_term / scale)
                record = GradientComparison(self.batches, name, scope, group, cosine, *norms)
                self.records.append(record)
                if scope == WHOLE:
                    self._overall[name].append(record)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the records of this batch."""
        for term, records in self._overall.items():
            if records and records[-1].step == self.batches:
                pl_module.log_dict(_logged(term, records))
        self.batches += 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pass the quality of the exits to the terms, as the module does for the trained terms."""
        if self._hook is None:
            return
        assert isinstance(pl_module, ACLModule)
        quality_E = pl_module.exit_metrics.on_selection_split()
        if quality_E is not None:
            for term in self.terms:
                term.after_validation(quality_E)

    # -- writing ----------------------------------------------------------------------------------------------------

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the records."""
        self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop recording; write the records and the figure."""
        self._stop()
        self._write(trainer)
        if trainer.is_global_zero and self.records:
            assert isinstance(pl_module, ACLModule)
            self._draw(trainer, pl_module.task_name)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop recording and write the records. A failure to write must not hide the exception."""
        self._stop()
        try:
            self._write(trainer)
        except UserError as error:
            _log.warning("%s was not written: %s", GRADIENTS, error)

    def _stop(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _write(self, trainer: Trainer) -> None:
        if trainer.is_global_zero and self.records:
            write_comparisons(Path(trainer.default_root_dir), self.records)

    def _draw(self, trainer: Trainer, task: str) -> None:
        curves = {term: [(record.step, record.angle) for record in records] for term, records in self._overall.items()}
        assert self._objective is not None
        panel = AnglePanel(f"gradient of each term against that of {self._objective.protected.name}", curves)
        write_figure(
            trainer, "gradient_angles", GRADIENT_FIGURE, partial(gradient_angles_figure, [[panel]], title=task)
        )


def _logged(term: str, records: list[GradientComparison]) -> dict[str, float]:
    rate = sum(record.conflict for record in records) / len(records)
    values = {"cosine": records[-1].cosine, "angle": records[-1].angle, "conflict_rate": rate}
    return {f"gradient_probe/{name}/{term}": value for name, value in values.items()}


def _with_terms(objective: Objective, terms: list[Term]) -> WeightedObjective:
    """Return the objective with other auxiliary terms, each with weight 1."""
    if not isinstance(objective, WeightedObjective):
        raise UserError(
            "an objective of the class WeightedObjective for GradientProbe",
            type(objective).__name__,
            "Set model.objective to a WeightedObjective, or remove the callback.",
        )
    probed = WeightedObjective(
        list(terms),
        protected=objective.protected,
        exit_weights=objective.exit_weights,
        auxiliary_exit_weights=objective.auxiliary_exit_weights,
    )
    probed.auxiliary_views = objective.auxiliary_views
    return probed


def _check_samples(probed: WeightedObjective, trained: Objective) -> None:
    if probed.num_views > trained.num_views:
        raise UserError(
            f"terms of GradientProbe that need {trained.num_views} view of a sample, as the objective does",
            f"a term that needs {probed.num_views}",
            "Remove it from terms, or add it to model.objective.",
        )
    if any(term.keeps_samples for term in probed.auxiliary.modules() if isinstance(term, Term)):
        raise UserError(
            "terms of GradientProbe without a memory queue", "a term with one", "Set queue of the term to null."
        )


def _check(terms: list[Term], every_n_steps: int, scopes: list[str]) -> None:
    names = [term.name for term in terms]
    if not names or len(set(names)) < len(names):
        raise UserError(
            "terms with different names for GradientProbe", f"{names}", "Set its terms to at least one, each once."
        )
    if every_n_steps < 1:
        raise UserError("an interval >= 1", f"{every_n_steps}", "Set every_n_steps of GradientProbe to 1 (default).")
    if len(set(scopes)) < len(scopes):
        raise UserError(
            "each scope once (AllParameters is always included)", f"{scopes}", "Remove it from scopes of GradientProbe."
        )
