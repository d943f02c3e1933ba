"""LightningModule that trains: manual optimisation, stages and checkpoints."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from acl_lightning.distributed import gather_labels, gather_outputs
from acl_lightning.encoders import EncoderConfig, layers_above, model_inputs
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
from acl_lightning.training.checkpoint_identity import IDENTITY, check_identity, identity, plain_settings
from acl_lightning.training.evaluation_module import Batch, EvaluationModule
from acl_lightning.training.finite_steps import FiniteSteps
from acl_lightning.training.optimization import OptimizationConfig, count_steps
from acl_lightning.training.stages import Joint, TwoStages, advance_to, build_staged_optimizer
from acl_lightning.training.trainer_attributes import check_validation_interval, datamodule_of, loss_scaler
from acl_lightning.training.views import check_dropout, repeat_samples

#: Key in a checkpoint of the gradient rule's last decision.
STEP = "acl_lightning_gradient_step"


class ACLModule(EvaluationModule):
    """Fine-tunes a multi-exit encoder on an objective of several terms, whose gradients a rule combines.

    Args:
        encoder: Settings of backbone, exits and heads.
        objective: Terms to minimise; default: cross-entropy over all exits (squared error for regression).
        gradient_rule: Rule that combines the gradients of the terms; default: their sum.
        gradient_scope: Parameters whose gradients the rule compares; default: all parameters as a single vector.
        gradient_collector: Method that computes the gradients; default: a pass of `autograd.grad` per term.
        check_every_n_steps: Interval in optimiser steps at which the rule decides; its weights stay the same between.
        optimization: Settings of AdamW, its schedule, clipping and accumulation.
        global_pool: Whether the terms are computed over the batches of all processes, so that a contrastive term
            compares the same samples as in a single process with the whole batch. Off: each process compares the
            samples of the local batch.
        first_stage_epochs: Number of epochs that train the backbone with the deepest exit only; the later epochs train
            the other exits on the frozen backbone, see `TwoStages`. None: all parameters are trained jointly.
        label_names: Names of the classes; empty for regression. The command line takes them from the DataModule.
        metric_names: Metrics of the task, the primary metric first. The command line takes them from the DataModule.
        task_name: Name of the task, for titles and result files. The command line takes it from the DataModule.

    Raises:
        UserError: A setting is out of range, or a contrastive term is used on a regression task.
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
        self._identity = identity(self.task_name, self.label_names, self.encoder.exit_layers, encoder)
        self.step: GradientStep | None = None
        self._step_state: dict[str, Any] = {}
        self._finite_steps = FiniteSteps(optimization.max_skipped_steps)
        self._first_steps = 0
        self._total_steps = 1

    def forward(self, batch: Batch) -> ExitOutputs:
        """Return the outputs of every exit for a batch; in training mode, of every view that the objective needs."""
        views = self.objective.num_views if self.training else 1
        if views == 1:
            return super().forward(batch)
        outputs: ExitOutputs = self.encoder(**repeat_samples(model_inputs(batch), views))
        return replace(outputs, views=views)

    # -- training ---------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        """Prepare the gradient step. Settings that do not fit together are refused here, for all stages."""
        if self.device.type == "cpu":
            keep_freed_memory()
        self._prepare_objective()
        check_dropout(self.encoder, self.objective.num_views, frozen_backbone=self.stages.first_epochs > 0)
        gathers = self.global_pool and self.trainer.world_size > 1
        self.gradient_collector.check(self.trainer.strategy.model or self, gathers=gathers)
        for epoch in sorted({0, self.stages.first_epochs}, reverse=True):
            self.stages.enter(epoch)
            self.step = self._gradient_step(self._step_state)

    def _gradient_step(self, state: dict[str, Any]) -> GradientStep:
        """Return a gradient step over the parameters that are trained at present, with the last decision in `state`."""
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
        """Replace the gradient step after the trained parameters changed. Its observers stay registered."""
        assert self.step is not None
        observers = self.step.observers
        self.step = self._gradient_step(state)
        self.step.observers = observers

    def _prepare_objective(self) -> None:
        """Give batch size and class counts of the DataModule to the objective."""
        data = datamodule_of(self.trainer)
        batch_size = getattr(data, "batch_size", None)
        if batch_size is not None:
            self.objective.check_batch_size(batch_size * (self.trainer.world_size if self.global_pool else 1))
        if self.label_names and hasattr(data, "class_counts"):
            for term in self.objective.all_terms():
                term.prepare(data.class_counts().to(self.device))

    def on_train_start(self) -> None:
        """Enter the stage of a resumed run, and refuse validations inside an accumulation group."""
        check_validation_interval(self.trainer, self.optimization.accumulate)
        if self.stages.enter(self.current_epoch):
            self._renew_step(self._step_state)

    def on_train_epoch_start(self) -> None:
        """Enter the stage that begins with this epoch, and its learning-rate schedule."""
        if self.stages.begins(self.current_epoch):
            self.stages.enter(self.current_epoch)
            self._renew_step({})
            for term in self.objective.all_terms():
                term.begin_stage()
            advance_to(self._scheduler, self._first_steps)  # it is behind where steps were skipped

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Add the gradients of a micro-batch. Step the optimiser at the end of a group, and at the end of the epoch."""
        assert self.step is not None
        self.objective.progress = min(1.0, self._scheduler.last_epoch / self._total_steps)
        outputs = self(batch)
        all_outputs, labels_B = self._gathered(outputs, batch)
        terms = self.objective(self.stages.learning(all_outputs), labels_B)
        scaler = self.loss_scaler
        scaled = [term if scaler is None else scaler.scale(term) for term in terms.values()]
        self.step.add(scaled, outputs.embeddings_EBD, samples=len(labels_B))
        if self.objective.keeps_samples:
            kept, kept_labels_B = self._gathered(outputs.detached(), batch, always=True)
            self.objective.after_batch(self.stages.learning(kept), kept_labels_B)
        report = None
        if (batch_idx + 1) % self.optimization.accumulate == 0 or self.trainer.is_last_batch:
            report = self._finish_step(scaled=scaler is not None)
        losses = {name: term.detach() for name, term in terms.items()}
        loss = torch.stack(list(losses.values())).sum()
        self.log("train/loss", loss, prog_bar=True)
        self.log_dict({f"train/{name}": value for name, value in losses.items()})
        self.log_dict({f"train/weight/{name}": value for name, value in self.objective.scheduled_weights().items()})
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

    def _gathered(self, outputs: ExitOutputs, batch: Batch, *, always: bool = False) -> tuple[ExitOutputs, Tensor]:
        """Return outputs and labels of all processes with `global_pool` or `always`, else those of this process."""
        labels_B = batch["labels"].repeat(outputs.views)
        if (self.global_pool or always) and self.trainer.world_size > 1:
            return gather_outputs(outputs), gather_labels(labels_B, outputs.views)
        return outputs, labels_B

    @property
    def loss_scaler(self) -> torch.amp.GradScaler | None:
        """Loss scaler of the Trainer's precision; None without one."""
        return loss_scaler(self.trainer)

    @property
    def _scheduler(self) -> LambdaLR:
        scheduler = self.lr_schedulers()
        assert isinstance(scheduler, LambdaLR)
        return scheduler

    def _finish_step(self, *, scaled: bool) -> StepReport:
        assert self.step is not None
        report = self.step.finish()
        self._finite_steps.count(report)
        if not report.skipped or scaled:
            optimizer = self.optimizers()
            assert not isinstance(optimizer, list)
            optimizer.step()
        if not report.skipped:
            self._scheduler.step()
        self.step.clear()
        return report

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients, which a loss scaler has unscaled before."""
        if self.optimization.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters(), self.optimization.max_grad_norm)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW and its linear schedule: over the whole run, or over each stage."""
        trainer, accumulate = self.trainer, self.optimization.accumulate
        batches = datamodule_of(trainer).train_batches_per_epoch(trainer.world_size)
        limit = trainer.limit_train_batches
        total = count_steps(batches, accumulate, trainer.max_epochs, trainer.max_steps, limit)
        first = count_steps(batches, accumulate, self.stages.first_epochs, -1, limit)
        self._first_steps, self._total_steps = first, total
        self.stages.release()
        fused = self.loss_scaler is None
        optimizer, scheduler = build_staged_optimizer(
            self._trained(),
            self.optimization,
            total,
            first,
            fused=fused,
            layers_above=partial(layers_above, self.encoder),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        """Return names and parameters of the encoder and of the objective."""
        return [*self.encoder.named_parameters(), *self.objective.named_parameters(prefix="objective")]

    def selection(self, quality_E: Tensor) -> Tensor:
        """Return the value of `val/selection`. During training, give the quality of the exits to the terms."""
        if self.trainer.state.fn != "fit":
            return super().selection(quality_E)
        if not self.trainer.sanity_checking:
            for term in self.objective.all_terms():
                term.after_validation(quality_E)
        return self.stages.selection(quality_E)

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the identity of the model and the last decision; keep only hyperparameters that are plain values.

        With plain values a checkpoint loads with `weights_only=True`. The command line gives plain values. A module
        that was built in Python with objects (`encoder`, `objective`, `gradient_rule`, `optimization`) leaves these
        out: give them to `load_from_checkpoint` again.
        """
        checkpoint["hyper_parameters"] = plain_settings(checkpoint.get("hyper_parameters", {}))
        checkpoint[IDENTITY] = self._identity
        checkpoint[STEP] = self.step.interval.state_dict() if self.step is not None else {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of another task, labels or exits (see `check_identity`); restore the last decision."""
        check_identity(checkpoint.get(IDENTITY, {}), self._identity)
        self._step_state = checkpoint.get(STEP, {})
