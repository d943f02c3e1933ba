"""Training in stages: everything jointly, or the backbone first and then the exits on it, frozen (DeeBERT)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from acl_lightning.encoders.multi_exit import MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.objectives import Objective
from acl_lightning.outputs import ExitOutputs
from acl_lightning.training.optimization import OptimizationConfig, build_optimizer

#: Twice the largest distance of a metric from zero: what a quality in the first stage is lowered by.
BELOW_ANY_METRIC = 2.0


class Joint:
    """One stage: all exits are trained together with the backbone, from the first step to the last."""

    first_epochs = 0

    def check(self, objective: Objective, *, classes: bool) -> None:
        """Raise `UserError` when the objective cannot be trained in these stages."""

    def release(self) -> None:
        """Let everything be trained that could be before."""

    def begins(self, epoch: int) -> bool:
        """Whether another stage begins with `epoch`, counted from 0."""
        return False

    def enter(self, epoch: int) -> bool:
        """Freeze what the stage of `epoch` does not train; whether that is another stage than before."""
        return False

    def learning(self, outputs: ExitOutputs) -> ExitOutputs:
        """The exits that the stage trains: what the objective is evaluated on."""
        return outputs

    def selection(self, quality_E: Tensor) -> Tensor:
        """What a checkpoint is chosen by: the mean over the exits."""
        return quality_E.mean()


class TwoStages(Joint):
    """First the backbone with the deepest exit alone; then the other exits, on the frozen backbone.

    Source: DeeBERT (Xin et al., ACL 2020): the first stage is ordinary fine-tuning, the second leaves backbone and last
    exit as they are. In the second stage no gradient is kept for the backbone, so that a step costs little more than a
    forward pass, and its dropout is off (our reading: what is frozen is the function that inference computes). Each
    stage evaluates the objective on its exits alone, whose weights sum to one.

    What is frozen follows from the epoch alone, so a resumed run needs to remember nothing. A frozen parameter has no
    gradient, hence AdamW leaves it, also without decay.

    Args:
        encoder: what is trained. Parameters that require no gradient by now are never made to.
        first_epochs: epochs of the first stage.

    Raises:
        UserError: fewer than one epoch, an encoder with one exit, or label embeddings in a table of their own, of which
            a part cannot be frozen.
    """

    def __init__(self, encoder: MultiExitEncoder, first_epochs: int) -> None:
        if first_epochs < 1:
            raise UserError("first_stage_epochs >= 1", f"{first_epochs}", "Give null to train all exits jointly.")
        if encoder.num_exits < 2:
            raise UserError(
                "at least 2 exits for training in two stages",
                f"{encoder.num_exits}",
                "Set model.encoder.exits to several layers, or model.first_stage_epochs to null.",
            )
        if encoder.label_embeddings is not None:
            raise UserError(
                "tied label embeddings for training in two stages",
                "separate ones",
                "Set model.encoder.label_embeddings to tied, or model.first_stage_epochs to null.",
            )
        self.encoder = encoder
        self.first_epochs = first_epochs
        self.in_first = False
        heads, rows = list(encoder.heads), list(encoder.exit_rows)
        self._first = _trainable([encoder.backbone, heads[-1], rows[-1]])
        self._second = _trainable([*heads[:-1], *rows[:-1]])

    def check(self, objective: Objective, *, classes: bool) -> None:
        """Raise `UserError` when the objective needs all exits at once, or weights for all of them."""
        for term in objective.all_terms():
            if term.min_exits > 1:
                raise UserError(
                    "terms that look at one exit at a time, for training in two stages",
                    f"{term.name}, which needs {term.min_exits}",
                    "Set model.first_stage_epochs to null, or remove the term.",
                )
        others = self.encoder.num_exits - 1
        try:
            for num_exits in (1, others):
                objective.check(classes=classes, num_exits=num_exits)
        except UserError as error:
            raise UserError(
                f"an objective for the deepest exit alone, and for {others} others, for training in two stages",
                f"one that expected {error.expected}",
                "Take exit weights for any number of exits (Ascending, Uniform), or set model.first_stage_epochs to "
                "null.",
            ) from error

    def release(self) -> None:
        """Let everything be trained that could be before."""
        _require_grad(self._first + self._second, True)

    def begins(self, epoch: int) -> bool:
        """Whether the second stage begins with `epoch`."""
        return epoch == self.first_epochs

    def enter(self, epoch: int) -> bool:
        """Freeze what the stage of `epoch` does not train; whether that is another stage than before."""
        before, self.in_first = self.in_first, epoch < self.first_epochs
        _require_grad(self._first, self.in_first)
        _require_grad(self._second, not self.in_first)
        self.encoder.backbone.train(self.in_first)
        return self.in_first != before

    def learning(self, outputs: ExitOutputs) -> ExitOutputs:
        """The deepest exit in the first stage, the others in the second."""
        exits = slice(-1, None) if self.in_first else slice(None, -1)
        return outputs.map(lambda tensor_E: tensor_E[exits])

    def selection(self, quality_E: Tensor) -> Tensor:
        """The mean over the exits; in the first stage lowered by 2, so that untrained exits are never chosen.

        Metrics lie in [-1, 1]. Should a run end in its first stage, the best of what there is can still be told.
        """
        return quality_E.mean() - (BELOW_ANY_METRIC if self.in_first else 0.0)


def build_staged_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    config: OptimizationConfig,
    total_steps: int,
    first_steps: int,
    *,
    fused: bool,
) -> tuple[AdamW, LambdaLR]:
    """`build_optimizer` with a warm-up and decay for every stage.

    Args:
        named_parameters: what is trained in some stage.
        config: the settings.
        total_steps: optimiser steps of the whole run.
        first_steps: those of the first of two stages; 0 when there is one.
        fused: see `build_optimizer`.

    Raises:
        UserError: the first stage leaves no step for the second.
    """
    named = list(named_parameters)
    if 0 < first_steps >= total_steps:
        raise UserError(
            f"a first stage that ends before the run, which has {total_steps} steps",
            f"{first_steps} steps",
            "Lower model.first_stage_epochs, or raise trainer.max_epochs.",
        )
    optimizer, scheduler = build_optimizer(named, config, total_steps - first_steps, fused=fused)
    if first_steps > 0:
        second = scheduler.lr_lambdas[0]
        first = build_optimizer(named, config, first_steps, fused=fused)[1].lr_lambdas[0]
        scheduler = LambdaLR(optimizer, lambda step: first(step) if step < first_steps else second(step - first_steps))
    return optimizer, scheduler


def advance_to(scheduler: LambdaLR, steps: int) -> None:
    """Advance a schedule that is behind `steps`, because it does not move at a step that is skipped."""
    while scheduler.last_epoch < steps:
        scheduler.step()


def _trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]


def _require_grad(parameters: Iterable[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)
