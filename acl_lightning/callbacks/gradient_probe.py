"""The pilot's telemetry: does the protected term's gradient conflict with that of a term, trained on or not?"""

from __future__ import annotations

import contextlib
import logging
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from acl_lightning.callbacks.logger_media import show_figure
from acl_lightning.callbacks.watched_gradients import compared, gradient_row
from acl_lightning.callbacks.watched_scopes import WatchedGroup, over, scope_name, watched_groups
from acl_lightning.errors import UserError
from acl_lightning.figures import AnglePanel, gradient_angles_figure
from acl_lightning.files import replaced_atomically
from acl_lightning.gradients import (
    AllParameters,
    PerLayer,
    Representation,
    Scope,
    TopLayers,
    gather,
    gather_outputs,
)
from acl_lightning.objectives import Term, WeightedObjective
from acl_lightning.outputs import ExitOutputs
from acl_lightning.runs.names import GRADIENT_FIGURE, GRADIENTS
from acl_lightning.runs.records import GradientComparison, MissingFile, read_comparisons, write_comparisons

#: The scope that the others are held against.
WHOLE = scope_name(AllParameters())

_log = logging.getLogger(__name__)


class GradientProbe(Callback):
    """Compares the gradient of the protected term with those of any terms, and leaves the training as it is.

    It reads the graph of the training forward pass itself: the same dropout, batch and precision, no second forward
    pass, no random number drawn, no `.grad` touched. So a run with the callback ends with the same bits as one
    without, and training on cross-entropy alone can be watched against the terms of SCL and ACL.

    Of every recorded batch and term it keeps cosine and norms (see `GradientComparison`) over all parameters that both
    terms reach (`AllParameters`), and over each group of the other scopes, so that the decisions of a cheaper scope
    can be compared with the full ones. The protected gradient is that of the objective's first term; a watched
    term has the objective's exit weights for auxiliary terms, and lambda 1. With several processes the gradients are
    averaged first, as in training; under a loss scaler the norms are unscaled. With accumulation every micro-batch
    has records of its own, whereas the training decides once per optimiser step. Frozen parameters are left out, and so
    are, with training in stages, the exits that a stage does not train.

    Rank zero writes `gradient_watch.csv` into the run directory, with every checkpoint (so that a resumed run misses no
    step and holds none twice), at the end of every epoch, and when the training ends or fails; and at its end
    `gradient_angles.png`. `gradient_watch/angle/<term>`, `.../cosine/<term>` and `.../conflict_rate/<term>` (share of
    the recorded batches so far) go to the loggers.

    A recorded batch costs a backward pass per term and one for the protected term, and memory for two gradients.

    Args:
        terms: what to watch; names must differ.
        every_n_steps: interval in training batches.
        scopes: what else to compare over. Default: `PerLayer`, `TopLayers(1)` and `Representation`.

    Raises:
        UserError: no term, two of a name, an interval below 1, the same scope twice; when training starts, an objective
            that is not `WeightedObjective`, a term that the task or the model has no use for, or sharded parameters.
    """

    def __init__(self, terms: list[Term], every_n_steps: int = 1, scopes: list[Scope] | None = None) -> None:
        others = [PerLayer(), TopLayers(1), Representation()] if scopes is None else scopes
        self.terms = terms
        self.every_n_steps = every_n_steps
        self.scopes: list[Scope] = [AllParameters(), *others]
        self.records: list[GradientComparison] = []
        self.batches = 0
        self._overall: dict[str, list[GradientComparison]] = {}
        self._watched: WeightedObjective | None = None
        self._hook: RemovableHandle | None = None
        self._due: Tensor | None = None
        _check(terms, every_n_steps, [scope_name(scope) for scope in self.scopes])

    # -- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """How far the training got, and what the terms have taken note of; the records are in the file."""
        return {"batches": self.batches, "terms": {term.name: term.state_dict() for term in self.terms}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the batches of the checkpoint."""
        self.batches = state_dict["batches"]
        for term in self.terms:
            term.load_state_dict(state_dict["terms"].get(term.name, term.state_dict()))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Bring the file up to the checkpoint."""
        self._write(trainer)

    # -- watching ---------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take up the records of the run that is resumed, and watch the module's forward passes."""
        self.records = []
        if self.batches:
            with contextlib.suppress(MissingFile):
                earlier = read_comparisons(Path(trainer.default_root_dir))
                self.records = [record for record in earlier if record.step < self.batches]
        self._overall = {
            term.name: [one for one in self.records if (one.term, one.scope) == (term.name, WHOLE)]
            for term in self.terms
        }
        self._watched = _with_terms(pl_module.objective, self.terms).to(pl_module.device)
        classes = bool(pl_module.label_names)
        self._watched.check(classes=classes, num_exits=len(pl_module.exit_layers))  # type: ignore[arg-type]
        pl_module.stages.check(self._watched, classes=classes)  # type: ignore[union-attr, operator]
        data: Any = getattr(trainer, "datamodule", None)
        if pl_module.label_names and hasattr(data, "class_counts"):
            for term in self.terms:
                term.prepare(data.class_counts())
        self._hook = pl_module.register_forward_hook(partial(self._watch, trainer))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Decide whether the next forward pass is recorded."""
        self._due = batch["labels"] if self.batches % self.every_n_steps == 0 else None

    def _watch(self, trainer: Trainer, module: nn.Module, arguments: tuple[Any, ...], outputs: ExitOutputs) -> None:
        labels, self._due = self._due, None
        if labels is None or not trainer.training:
            return
        assert self._watched is not None
        embeddings_EBD = outputs.embeddings_EBD
        if module.global_pool and trainer.world_size > 1:
            outputs, labels = gather_outputs(outputs), gather(labels).flatten(0, 1)
        outputs = module.stages.learning(outputs)  # type: ignore[union-attr, operator]
        trained = [(name, p) for name, p in module.encoder.named_parameters() if p.requires_grad]  # type: ignore[union-attr]
        sources = [*(parameter for _, parameter in trained), embeddings_EBD]
        groups = watched_groups(self.scopes, [name for name, _ in trained], sources)
        protected = next(iter(module.objective(outputs, labels).values()))  # type: ignore[operator]
        watched = dict(list(self._watched(outputs, labels).items())[1:])
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        scale = float(scaler.get_scale()) if scaler else 1.0
        protected_row = gradient_row(scale * protected, sources, trainer.world_size)
        if all(gradient is None for gradient in protected_row[:-1]):
            raise _out_of_sight()
        for name, term in watched.items():
            row = gradient_row(scale * term, sources, trainer.world_size)
            self._record(name, groups, compared(protected_row, row, trainer.world_size), scale)

    def _record(self, term: str, groups: list[WatchedGroup], products: dict[int, Tensor], scale: float) -> None:
        for group in groups:
            if found := over(group, products):
                cosine, norm_protected, norm_term = found
                norms = (norm_protected / scale, norm_term / scale)
                self.records.append(GradientComparison(self.batches, term, group.scope, group.name, cosine, *norms))
                if group.scope == WHOLE:
                    self._overall[term].append(self.records[-1])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log what was recorded of this batch."""
        for term, kept in self._overall.items():
            if kept and kept[-1].step == self.batches:
                pl_module.log_dict(_logged(term, kept))
        self.batches += 1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell the terms how good the exits are, as the module tells its own."""
        chosen_E = pl_module.exit_metrics.on_selection_split() if self._hook else None  # type: ignore[union-attr, operator]
        if chosen_E is not None:
            for term in self.terms:
                term.after_validation(chosen_E)

    # -- writing ----------------------------------------------------------------------------------------------------

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file."""
        self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching; write the file and the figure."""
        self._stop()
        self._write(trainer)
        if trainer.is_global_zero and self.records:
            self._draw(trainer, str(pl_module.task_name))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop watching and keep what was recorded; failing at that must not hide the exception."""
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
        curves = {term: [(one.step, one.angle) for one in kept] for term, kept in self._overall.items()}
        assert self._watched is not None
        panel = AnglePanel(f"gradient of each term against that of {self._watched.protected.name}", curves)
        figure = gradient_angles_figure([[panel]], title=task)
        path = Path(trainer.default_root_dir) / GRADIENT_FIGURE
        with replaced_atomically(path) as temporary:
            figure.savefig(temporary, dpi=150)
        for logger in trainer.loggers:
            show_figure(logger, "gradient_angles", figure, path, trainer.global_step)


def _logged(term: str, kept: list[GradientComparison]) -> dict[str, float]:
    rate = sum(record.conflict for record in kept) / len(kept)
    prefix = "gradient_watch"
    values = {"cosine": kept[-1].cosine, "angle": kept[-1].angle, "conflict_rate": rate}
    return {f"{prefix}/{name}/{term}": value for name, value in values.items()}


def _with_terms(objective: object, terms: list[Term]) -> WeightedObjective:
    """The objective with the given auxiliary terms, each at lambda 1."""
    if not isinstance(objective, WeightedObjective):
        raise UserError(
            "an objective of the class Combined for GradientProbe",
            type(objective).__name__,
            "Remove the callback, or set model.objective.",
        )
    return WeightedObjective(
        list(terms),
        protected=objective.protected,
        exit_weights=objective.exit_weights,
        auxiliary_exit_weights=objective.auxiliary_exit_weights,
    )


def _out_of_sight() -> UserError:
    return UserError(
        "parameters whose gradients autograd.grad sees, for GradientProbe",
        "none: the strategy shards or hides them",
        "Remove the callback, or train on one device or with ddp.",
    )


def _check(terms: list[Term], every_n_steps: int, scopes: list[str]) -> None:
    names = [term.name for term in terms]
    if not names or len(set(names)) < len(names):
        raise UserError("terms with different names to watch", f"{names}", "Set terms of GradientProbe.")
    if every_n_steps < 1:
        raise UserError("an interval >= 1", f"{every_n_steps}", "Set every_n_steps of GradientProbe.")
    if len(set(scopes)) < len(scopes):
        raise UserError("each scope once (AllParameters is always there)", f"{scopes}", "Set its scopes.")
