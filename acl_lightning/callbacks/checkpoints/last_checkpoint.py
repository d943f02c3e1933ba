"""Callback that saves the latest state of a run at a fixed path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically
from acl_lightning.runs.names import CHECKPOINTS, LAST_CHECKPOINT
from acl_lightning.training.trainer_attributes import is_fast_dev_run


class LastCheckpoint(Checkpoint):
    """Saves `last.ckpt` every n optimiser steps, and at the end of the training, after its last validation.

    A save that is due at the last batch of an epoch is made at the end of the epoch, after its validation. The file is
    written under another name and renamed, so a process that is killed while it saves leaves the previous file.
    (ModelCheckpoint copies across file systems, and warns at every save under manual optimisation.)

    Args:
        every_n_steps: Interval in optimiser steps.
        dirpath: Directory; default: `checkpoints` in the run directory.

    Raises:
        UserError: The interval is not positive, or the file system refuses the file.
    """

    def __init__(self, every_n_steps: int = 200, dirpath: str | None = None) -> None:
        if every_n_steps < 1:
            raise UserError(
                "an interval >= 1", f"{every_n_steps}", "Set last_checkpoint.every_n_steps to 1 or more (default 200)."
            )
        self.every_n_steps = every_n_steps
        self.dirpath = dirpath
        self._waits_for_validation = False
        self._saved_step = 0

    def path(self, trainer: Trainer) -> Path:
        """Return the path of the checkpoint."""
        return Path(self.dirpath or Path(trainer.default_root_dir) / CHECKPOINTS) / LAST_CHECKPOINT

    def can_resume_after(self, trainer: Trainer, outputs: Any) -> bool:
        """Whether a run that resumes from a checkpoint after this batch continues exactly as without a stop.

        It does not in the middle of an accumulation group, whose gradients no checkpoint contains; nor before a
        validation, as after the last batch of an epoch: the resumed run would leave this validation out, and with it a
        candidate for the best checkpoint.

        Args:
            trainer: The Trainer, in `on_train_batch_end`.
            outputs: Return value of `training_step`.
        """
        return _is_inner_step(trainer, outputs) and not _validation_follows(trainer)

    def has_saved(self, trainer: Trainer) -> bool:
        """Whether the file contains the present step."""
        return self._saved_step == trainer.global_step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the steps of the interval from here: from 0, or from the checkpoint that the run continues."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save after every n-th optimiser step; if a validation follows this batch, after the validation."""
        self._waits_for_validation = False
        is_due = _is_inner_step(trainer, outputs) and trainer.global_step % self.every_n_steps == 0
        if is_due and not is_fast_dev_run(trainer):
            self._waits_for_validation = _validation_follows(trainer)
            if not self._waits_for_validation:
                self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if a checkpoint was due before the validation."""
        if self._waits_for_validation:
            self._waits_for_validation = False
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if the last save is n steps ago, or the training ends here."""
        is_due = trainer.global_step - self._saved_step >= self.every_n_steps
        if (is_due or _training_ends(trainer)) and not is_fast_dev_run(trainer):
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        path = self.path(trainer)
        if trainer.is_global_zero:
            with replaced_atomically(path) as temporary:
                trainer.save_checkpoint(temporary)
        else:
            trainer.save_checkpoint(path)  # takes part in the barrier; only rank zero writes
        self._saved_step = trainer.global_step


def _is_inner_step(trainer: Trainer, outputs: Any) -> bool:
    """Whether this batch ended with an optimiser step and is not the last one of its epoch."""
    report = outputs["report"]  # None in the middle of an accumulation group
    return not (trainer.is_last_batch or report is None or report.skipped)


def _training_ends(trainer: Trainer) -> bool:
    """Whether the epoch that has just ended is the last one."""
    epochs, steps = trainer.max_epochs, trainer.max_steps
    after_epochs = epochs is not None and 0 <= epochs <= trainer.current_epoch + 1
    return trainer.should_stop or after_epochs or 0 <= steps <= trainer.global_step


def _validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the present batch."""
    loop = trainer.fit_loop
    assert loop._data_fetcher is not None
    return loop.epoch_loop._should_check_val_fx(loop._data_fetcher)
