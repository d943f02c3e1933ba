"""Attributes of the Trainer that Lightning sets without declaring them: typed access, and checks."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, Trainer

from acl_lightning.errors import UserError

Kind = TypeVar("Kind", bound=Callback)


def datamodule_of(trainer: Trainer) -> Any:
    """Return the DataModule; None where the Trainer was given loaders."""
    return getattr(trainer, "datamodule", None)


def selection_source(trainer: Trainer) -> str:
    """Return the split that the selection rows are taken from, `validation` or `train`; see `SelectionProtocol`."""
    return str(getattr(datamodule_of(trainer), "selection", "validation"))


def is_fast_dev_run(trainer: Trainer) -> bool:
    """Whether the Trainer runs a few batches only, to find defects (`trainer.fast_dev_run`)."""
    return bool(getattr(trainer, "fast_dev_run", False))


def find_callback(trainer: Trainer, kind: type[Kind]) -> Kind | None:
    """Return the first callback of a class; None without one."""
    callbacks: list[Callback] = getattr(trainer, "callbacks", [])
    return next((callback for callback in callbacks if isinstance(callback, kind)), None)


def loss_scaler(trainer: Trainer) -> torch.amp.GradScaler | None:
    """Return the loss scaler of the Trainer's precision; None without one."""
    return getattr(trainer.precision_plugin, "scaler", None)


def check_validation_interval(trainer: Trainer, accumulate: int) -> None:
    """Refuse validations inside an accumulation group: a checkpoint saved there would lose the gradients of the group.

    Args:
        trainer: Trainer at the start of the training.
        accumulate: Number of micro-batches per optimiser step.

    Raises:
        UserError: `trainer.val_check_interval` is not a multiple of `accumulate`.
    """
    interval = trainer.val_check_batch
    if interval is not None and interval < trainer.num_training_batches and interval % accumulate:
        raise UserError(
            f"a trainer.val_check_interval that is a multiple of accumulate = {accumulate} batches",
            f"{interval}",
            f"Set trainer.val_check_interval to a multiple of {accumulate}, or model.optimization.accumulate to 1.",
        )
