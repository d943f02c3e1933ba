"""The LightningModule that trains: manual optimisation, stages, checkpoints. No mathematics, no plotting."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from acl_lightning.distributed import gather, gather_outputs
from acl_lightning.encoders import EncoderConfig
from acl_lightning.errors import UserError
from acl_lightning.gradients import (
    AutogradRows,
    Collector,
    GradientRule,
    GradientStep,
    Scope,
    StepReport,
    Sum,
)
from acl_lightning.objectives import Objective, SquaredError, WeightedObjective
from acl_lightning.outputs import ExitOutputs
from acl_lightning.training.allocator import keep_freed_memory
from acl_lightning.training.checkpoint_identity import IDENTITY, check_identity, plain_settings
from acl_lightning.training.evaluation_module import Batch, EvaluationModule
from acl_lightning.training.optimization import OptimizationConfig, count_steps
from acl_lightning.training.stages import Joint, TwoStages, advance_to, build_staged_optimizer

#: Where a checkpoint keeps the gradient rule's decision that is in force.
STEP = "acl_lightning_gradient_step"


class ACLModule(EvaluationModule):
    """Fine-tunes a multi-exit encoder on an objective of several terms, whose gradients a rule combines.

    Every setting has its home in a constructor: the encoder's in `EncoderConfig`, the objective's in its class, the
    optimiser's in `OptimizationConfig`. Label names, metrics and the task's name come from the DataModule.

    Args:
        encoder: backbone, exits and heads.
        objective: terms to minimise; default: cross-entropy over all exits (squared error for regression).
        gradient_rule: how the gradients of the terms are combined; default: their sum.
        gradient_scope: over which gradients the rule decides; default: all parameters as one vector.
        gradient_collector: how the gradients are obtained; default: a pass of `autograd.grad` per term.
        check_every_n_steps: the rule decides at every n-th optimiser step; its weights hold for those in between.
        optimization: AdamW, its schedule, clipping and accumulation.
        global_pool: with several processes, compute the terms over the batches of all of them. A contrastive term then
            sees the same pool as one process with the whole batch; off, every process has a pool of its own.
        first_stage_epochs: train the backbone with the deepest exit alone for so many epochs, then the other exits on
            the frozen backbone; see `TwoStages`. None: all of it jointly.
        label_names: names of the classes; empty for regression. Given by the DataModule.
        metric_names: the task's metrics, the primary one first. Given by the DataModule.
        task_name: for titles and records. Given by the DataModule.

    Raises:
        UserError: a setting out of range, or a contrastive term on a regression task.
    """

    def __init__(
        self,
        encoder: EncoderConfig = EncoderConfig(),  # noqa: B008 - frozen
        objective: Objective | None = None,
        gradient_rule: GradientRule | None = None,
        gradient_scope: Scope | None = None,
        gradient_collector: Collector | None = None,
        check_every_n_steps: int = 1,
        optimization: OptimizationConfig = OptimizationConfig(),  # noqa: B008 - frozen
        global_pool: bool = False,
        first_stage_epochs: int | None = None,
        label_names: list[str] | None = None,
        metric_names: list[str] | None = None,
        task_name: str = "task",
    ) -> None:
        names = list(label_names or [])
        metrics = list(metric_names or (["accuracy"] if names else ["pearson"]))
        optimization.check()
        super().__init__(encoder.build(max(1, len(names))), names, metrics, task_name)
        with warnings.catch_warnings():  # Lightning advises to leave objects out; `on_save_checkpoint` does so
            warnings.filterwarnings("ignore", message="Attribute '.*' is an instance of `nn.Module`")
            self.save_hyperparameters(logger=False)
        self.automatic_optimization = False
        self.optimization = optimization
        self.global_pool = global_pool
        self.objective = objective or (WeightedObjective() if names else WeightedObjective(protected=SquaredError()))
        self.gradient_rule = gradient_rule or Sum()
        self.gradient_scope = gradient_scope
        self.gradient_collector = gradient_collector or AutogradRows()
        self.check_every_n_steps = check_every_n_steps
        self.objective.check(classes=bool(names), num_exits=self.encoder.num_exits)
        self.objective.check_gate(learnt_gate=self.encoder.gate is not None)
        self.stages = Joint() if first_stage_epochs is None else TwoStages(self.encoder, first_stage_epochs)
        self.stages.check(self.objective, classes=bool(names))
        self._identity = {
            "task": self.task_name,
            "labels": self.label_names,
            "exit layers": list(self.encoder.exit_layers),
            "exit row": encoder.exit_row,
            "pooler": encoder.pooler,
            "label embeddings": encoder.label_embeddings,
            "learnt gate": encoder.learnt_gate,
        }
        self.step: GradientStep | None = None
        self._step_state: dict[str, Any] = {}
        self.broken_in_a_row = 0
        self._first_steps = 0

    # -- training ---------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Prepare the gradient step; what it cannot work with is refused here, for all stages."""
        if self.device.type == "cpu":
            keep_freed_memory()
        self._prepare_objective()
        gathers = self.global_pool and self.trainer.world_size > 1
        self.gradient_collector.check(self.trainer.strategy.model or self, gathers=gathers)
        for epoch in sorted({0, self.stages.first_epochs}, reverse=True):
            self.stages.enter(epoch)
            self.step = self._gradient_step(self._step_state)

    def _gradient_step(self, state: dict[str, Any]) -> GradientStep:
        """A step over what is trained at present, with the decision of `state` in force."""
        step = GradientStep(
            self.gradient_rule,
            self._trained(),
            self.gradient_scope,
            self.gradient_collector,
            check_every_n_steps=self.check_every_n_steps,
            average_ranks=self.trainer.world_size > 1,
            scaled=self.loss_scaler is not None,
        )
        step.interval.load_state_dict(state)
        return step

    def _renew_step(self, state: dict[str, Any]) -> None:
        """Let the gradient step follow a change of what is trained; whoever observes it goes on doing so."""
        assert self.step is not None
        observers = self.step.observers
        self.step = self._gradient_step(state)
        self.step.observers = observers

    def _prepare_objective(self) -> None:
        """Tell the objective about the training data, as far as the DataModule knows them."""
        data: Any = getattr(self.trainer, "datamodule", None)
        batch_size = getattr(data, "batch_size", None)
        if batch_size is not None:
            self.objective.check_batch_size(batch_size * (self.trainer.world_size if self.global_pool else 1))
        if self.label_names and hasattr(data, "class_counts"):
            for term in self.objective.all_terms():
                term.prepare(data.class_counts().to(self.device))

    def on_train_start(self) -> None:
        """Enter the stage of a resumed run, and refuse a validation inside an accumulation group.

        A checkpoint saved there would lose half-summed gradients.

        Raises:
            UserError: `trainer.val_check_interval` is no multiple of `accumulate`.
        """
        interval, accumulate = self.trainer.val_check_batch, self.optimization.accumulate
        if interval is not None and interval < self.trainer.num_training_batches and interval % accumulate:
            raise UserError(
                f"a trainer.val_check_interval that is a multiple of accumulate = {accumulate} batches",
                f"{interval}",
                "Change one of them.",
            )
        if self.stages.enter(self.current_epoch):
            self._renew_step(self._step_state)

    def on_train_epoch_start(self) -> None:
        """Enter the stage that begins, with its own schedule also where steps of the first stage were skipped."""
        if self.stages.begins(self.current_epoch):
            self.stages.enter(self.current_epoch)
            self._renew_step({})
            advance_to(self.lr_schedulers(), self._first_steps)  # type: ignore[arg-type]

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """One micro-batch; the optimiser moves at the end of a group, and at the end of the epoch."""
        assert self.step is not None
        outputs = self(batch)
        all_outputs, labels_B = self._gathered(outputs, batch)
        terms = self.objective(self.stages.learning(all_outputs), labels_B)
        scaler = self.loss_scaler
        scaled = [term if scaler is None else scaler.scale(term) for term in terms.values()]
        self.step.add(scaled, outputs.embeddings_EBD, samples=len(labels_B))
        report = None
        if (batch_idx + 1) % self.optimization.accumulate == 0 or self.trainer.is_last_batch:
            report = self._finish_step(scaled=scaler is not None)
        losses = {name: term.detach() for name, term in terms.items()}
        loss = torch.stack(list(losses.values())).sum()
        self.log("train/loss", loss, prog_bar=True)
        self.log_dict({f"train/{name}": value for name, value in losses.items()})
        return {"loss": loss, "report": report, "outputs": all_outputs.detached(), "labels": labels_B}

    def objective_inputs(self, outputs: ExitOutputs, batch: Batch) -> tuple[ExitOutputs, Tensor]:
        """Return the outputs and labels on which the objective is evaluated.

        With `global_pool` they contain the samples of all processes. With training in stages they contain the exits
        that the present stage trains.

        Args:
            outputs: Outputs of this process, with their graph.
            batch: The batch of this process, with `labels`.
        """
        outputs, labels_B = self._gathered(outputs, batch)
        return self.stages.learning(outputs), labels_B

    def _gathered(self, outputs: ExitOutputs, batch: Batch) -> tuple[ExitOutputs, Tensor]:
        """Return outputs and labels of all processes with `global_pool`, else those of this process."""
        labels_B = batch["labels"]
        if self.global_pool and self.trainer.world_size > 1:
            return gather_outputs(outputs), gather(labels_B).flatten(0, 1)
        return outputs, labels_B

    @property
    def loss_scaler(self) -> torch.amp.GradScaler | None:
        """Loss scaler of the trainer's precision; None without one."""
        scaler: torch.amp.GradScaler | None = getattr(self.trainer.precision_plugin, "scaler", None)
        return scaler

    def _finish_step(self, *, scaled: bool) -> StepReport:
        assert self.step is not None
        report = self.step.finish()
        # A term beside the protected one is left out where it is not finite; left out for good, it is no training.
        broken = report.skipped or not bool(report.products_K.isfinite().all())
        self.broken_in_a_row = self.broken_in_a_row + 1 if broken else 0
        if self.broken_in_a_row >= self.optimization.max_skipped_steps:
            raise UserError(
                "a finite gradient of every term",
                f"one that is not finite in {self.broken_in_a_row} steps in a row",
                "Lower the learning rate, raise the temperature, or train in 32-true.",
            )
        if not report.skipped or scaled:
            self.optimizers().step()  # type: ignore[union-attr]
        if not report.skipped:
            self.lr_schedulers().step()  # type: ignore[union-attr]
        self.step.clear()
        return report

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip here: the gradients are unscaled by now, also under a loss scaler."""
        if self.optimization.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters(), self.optimization.max_grad_norm)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW and its linear schedule over the whole run, or one over each stage."""
        trainer, accumulate = self.trainer, self.optimization.accumulate
        batches, limit = trainer.datamodule.train_batches_per_epoch(trainer.world_size), trainer.limit_train_batches  # type: ignore[attr-defined]
        total = count_steps(batches, accumulate, trainer.max_epochs, trainer.max_steps, limit)
        first = count_steps(batches, accumulate, self.stages.first_epochs, -1, limit)
        self._first_steps = first
        self.stages.release()
        fused = self.loss_scaler is None
        optimizer, scheduler = build_staged_optimizer(self._trained(), self.optimization, total, first, fused=fused)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        """Names and parameters of the encoder and of terms that have some, `backbone.` first in the former."""
        return [*self.encoder.named_parameters(), *self.objective.named_parameters(prefix="objective")]

    def selection(self, quality_E: Tensor) -> Tensor:
        """What a checkpoint is chosen by. In training the terms whose teacher is the best exit hear of the exits."""
        if self.trainer.state.fn != "fit":  # `validate` measures a finished model
            return super().selection(quality_E)
        if not self.trainer.sanity_checking:
            for term in self.objective.all_terms():
                term.after_validation(quality_E)
        return self.stages.selection(quality_E)

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep hyperparameters plain, so that checkpoints load with `weights_only=True`.

        The command line records settings as plain values. A module built in Python with objects for settings
        (`encoder`, `objective`, `gradient_rule`, `optimization`) leaves those out; give them again to
        `load_from_checkpoint`.
        """
        checkpoint["hyper_parameters"] = plain_settings(checkpoint.get("hyper_parameters", {}))
        checkpoint[IDENTITY] = self._identity
        checkpoint[STEP] = self.step.interval.state_dict() if self.step is not None else {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of another task, labels or exits (see `check_identity`); keep a decision that is in force."""
        check_identity(checkpoint.get(IDENTITY, {}), self._identity)
        self._step_state = checkpoint.get(STEP, {})
