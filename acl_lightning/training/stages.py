"""Stages of a training: all parameters jointly, or first the backbone and then the exits (DeeBERT)."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from acl_lightning.encoders.multi_exit import MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.objectives import Objective
from acl_lightning.outputs import ExitOutputs
from acl_lightning.training.optimization import LayersAbove, OptimizationConfig, build_optimizer, outside_or_top

#: Subtracted from the quality in the first stage. Metrics are in [-1, 1], so the result is below every quality.
BELOW_ANY_METRIC = 2.0


class Joint:
    """A single stage: all exits and the backbone are trained together."""

    first_epochs = 0

    def check(self, objective: Objective, *, classes: bool) -> None:
        """Raise `UserError` if the objective cannot be trained in these stages."""

    def release(self) -> None:
        """Make all parameters trainable that were trainable before the first stage."""

    def begins(self, epoch: int) -> bool:
        """Whether another stage begins with `epoch`, from 0."""
        return False

    def enter(self, epoch: int) -> bool:
        """Freeze the parameters that the stage of `epoch` does not train. Return whether the stage changed."""
        return False

    def learning(self, outputs: ExitOutputs) -> ExitOutputs:
        """Return the outputs of the exits that the stage trains: the inputs of the objective."""
        return outputs

    def selection(self, quality_E: Tensor) -> Tensor:
        """Return the value by which checkpoints are compared: the mean over the exits."""
        return quality_E.mean()


class TwoStages(Joint):
    """First stage: backbone and deepest exit. Second stage: the other exits, on the frozen backbone.

    Source: DeeBERT (Xin et al., ACL 2020): the first stage is ordinary fine-tuning, the second keeps backbone and last
    exit. In the second stage no gradient is computed for the backbone, so a step costs little more than a forward pass,
    and the dropout of the backbone is off (our reading: the frozen backbone is the function that inference computes).
    In each stage the objective is evaluated on the exits of this stage only, and their weights sum to 1.

    The frozen parameters follow from the epoch, so a resumed run needs no further state. A frozen parameter has no
    gradient, so AdamW neither changes nor decays it.

    Args:
        encoder: Multi-exit encoder. Parameters that are frozen before the training stay frozen.
        first_epochs: Number of epochs of the first stage.

    Raises:
        UserError: Fewer than 1 epoch, an encoder with a single exit, or label embeddings that are separate parameters:
            one tensor holds those of all exits, and cannot be frozen in part.
    """

    def __init__(self, encoder: MultiExitEncoder, first_epochs: int) -> None:
        if first_epochs < 1:
            raise UserError(
                "first_stage_epochs >= 1",
                f"{first_epochs}",
                "Set model.first_stage_epochs to null to train all exits jointly.",
            )
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
        """Raise `UserError` if a term compares exits, or the weights are for a fixed number of exits."""
        for term in objective.all_terms():
            if term.min_exits > 1:
                raise UserError(
                    "terms that read a single exit, for training in two stages",
                    f"{term.name}, which needs {term.min_exits}",
                    "Set model.first_stage_epochs to null, or remove the term.",
                )
        others = self.encoder.num_exits - 1
        try:
            for num_exits in (1, others):
                objective.check(classes=classes, num_exits=num_exits)
        except UserError as error:
            raise UserError(
                f"an objective for the deepest exit, and for the {others} other exits, for training in two stages",
                f"an objective that expects {error.expected}",
                "Set exit weights for any number of exits (Ascending, Uniform), or model.first_stage_epochs to null.",
            ) from error

    def release(self) -> None:
        """Make all parameters trainable that were trainable before the first stage."""
        _require_grad(self._first + self._second, True)

    def begins(self, epoch: int) -> bool:
        """Whether the second stage begins with `epoch`."""
        return epoch == self.first_epochs

    def enter(self, epoch: int) -> bool:
        """Freeze the parameters that the stage of `epoch` does not train. Return whether the stage changed."""
        before, self.in_first = self.in_first, epoch < self.first_epochs
        _require_grad(self._first, self.in_first)
        _require_grad(self._second, not self.in_first)
        self.encoder.backbone.train(self.in_first)
        return self.in_first != before

    def learning(self, outputs: ExitOutputs) -> ExitOutputs:
        """Return the outputs of the deepest exit in the first stage, of the other exits in the second."""
        exits = slice(-1, None) if self.in_first else slice(None, -1)
        return outputs.map(lambda tensor_E: tensor_E[exits])

    def selection(self, quality_E: Tensor) -> Tensor:
        """Return the mean over the exits; in the first stage minus 2, so that the second stage is preferred.

        If a run ends in its first stage, its checkpoints can still be compared.
        """
        return quality_E.mean() - (BELOW_ANY_METRIC if self.in_first else 0.0)


def build_staged_optimizer(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    config: OptimizationConfig,
    total_steps: int,
    first_steps: int,
    *,
    fused: bool,
    layers_above: LayersAbove = outside_or_top,
) -> tuple[AdamW, LambdaLR]:
    """Return optimiser and schedule of `build_optimizer`, with a warm-up and decay for every stage.

    Args:
        named_parameters: Parameters of all stages, with their names.
        config: Settings of the optimiser.
        total_steps: Number of optimiser steps of the whole run.
        first_steps: Number of optimiser steps of the first stage; 0 for a single stage.
        fused: See `build_optimizer`.
        layers_above: See `parameter_groups`.

    Raises:
        UserError: No step is left for the second stage.
    """
    named = list(named_parameters)
    if 0 < first_steps >= total_steps:
        raise UserError(
            f"a first stage that ends before the run, which has {total_steps} steps",
            f"{first_steps} steps",
            "Set model.first_stage_epochs to less than trainer.max_epochs.",
        )
    steps = total_steps - first_steps
    optimizer, scheduler = build_optimizer(named, config, steps, fused=fused, layers_above=layers_above)
    if first_steps > 0:
        second = scheduler.lr_lambdas[0]
        first = build_optimizer(named, config, first_steps, fused=fused)[1].lr_lambdas[0]
        scheduler = LambdaLR(optimizer, lambda step: first(step) if step < first_steps else second(step - first_steps))
    return optimizer, scheduler


def advance_to(scheduler: LambdaLR, steps: int) -> None:
    """Advance a schedule to `steps` where skipped steps did not advance it."""
    while scheduler.last_epoch < steps:
        scheduler.step()


def _trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]


def _require_grad(parameters: Iterable[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)
