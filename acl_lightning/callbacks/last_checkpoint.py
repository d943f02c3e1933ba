"""The latest whole state of a run, at a fixed path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt`: every so many optimiser steps, and at the end of every epoch, after its validation.

    The file is written beside its place and renamed, so a process that is killed while saving leaves the previous one
    whole. (ModelCheckpoint copies across file systems, and under manual optimisation warns at every save by steps.)

    Args:
        every_n_steps: interval in optimiser steps.
        dirpath: directory; default: `checkpoints` in the run directory.

    Raises:
        UserError: the interval is not positive, or the disk refuses the file.
    """

    def __init__(self, every_n_steps: int = 200, dirpath: str | None = None) -> None:
        if every_n_steps < 1:
            raise UserError("an interval >= 1", f"{every_n_steps}", "Set last_checkpoint.every_n_steps.")
        self.every_n_steps = every_n_steps
        self.dirpath = dirpath
        self._waits_for_validation = False

    def path(self, trainer: Trainer) -> Path:
        """Where the checkpoint lies."""
        return Path(self.dirpath or Path(trainer.default_root_dir) / "checkpoints") / "last.ckpt"

    def can_resume_after(self, trainer: Trainer, outputs: Any) -> bool:
        """Whether a run that resumes from a checkpoint saved after this batch repeats what would have followed.

        Not in the middle of an accumulation group, whose gradients no checkpoint holds. Not before a validation, as
        after the last batch of an epoch: a run resumed from between the two would leave the validation out, and with it
        a candidate for the best checkpoint.

        Args:
            trainer: the Trainer, in `on_train_batch_end`.
            outputs: what `training_step` returned.
        """
        report = outputs["report"]  # None in the middle of an accumulation group
        at_step = not (trainer.is_last_batch or report is None or report.skipped)
        return at_step and not _validation_follows(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when a step completed that is due.

        Where a validation follows this batch, the checkpoint is saved after it. At the last batch of an epoch the end
        of the epoch saves.
        """
        report = outputs["report"]  # None in the middle of an accumulation group
        self._waits_for_validation = False
        if trainer.is_last_batch or report is None or report.skipped:
            return
        if trainer.global_step % self.every_n_steps == 0 and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._waits_for_validation = _validation_follows(trainer)
            if not self._waits_for_validation:
                self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what was due before the validation."""
        if self._waits_for_validation:
            self._waits_for_validation = False
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of the epoch, after its validation."""
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        path = self.path(trainer)
        if trainer.is_global_zero:
            with replaced_atomically(path) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(path)  # takes part in the barrier; only rank zero writes


def _validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the present batch, by its own rule for all of its settings."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
