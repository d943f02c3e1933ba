"""Callback that requeues a SLURM job shortly before its time limit."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from acl_lightning.callbacks.checkpoints.last_checkpoint import LastCheckpoint
from acl_lightning.runs.checkpoints import next_requeue_checkpoint, requeue_checkpoints
from acl_lightning.training.trainer_attributes import find_callback

_log = logging.getLogger(__name__)


class SlurmRequeue(Checkpoint):
    """Saves a checkpoint and calls `scontrol requeue` at SLURM's warning signal (SIGUSR1).

    Lightning's handler saves as soon as the signal arrives, also in the middle of a step, from which no run can resume
    exactly. This callback waits for the next step after which `LastCheckpoint` could save, and writes
    `hpc_ckpt_N.ckpt` into the run directory. If a validation comes first, or there is nothing left to train, the job is
    requeued at once and resumes from the last saved checkpoint. The files are removed at the end of the training.

    The requeued job repeats the same command, which needs a fixed `--run_dir`. Request the signal early enough before
    the time limit with `#SBATCH --signal=USR1@120`. Without SLURM, or with `SLURMEnvironment(auto_requeue=False)` among
    the plugins of the Trainer, this callback does nothing.
    """

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._received = False
        self._requeued = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Install the handler. Lightning does not replace an existing handler."""
        environment = trainer._accelerator_connector.cluster_environment
        if isinstance(environment, SLURMEnvironment) and environment.auto_requeue:
            self._trainer = trainer
            signal.signal(environment.requeue_signal or signal.SIGUSR1, self._on_signal)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        assert self._trainer is not None
        self._received = True
        if self._trainer.state.fn != TrainerFn.FITTING or self._trainer.validating:
            self._requeue(self._trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and requeue at the first step after the signal from which a run can resume; all processes together."""
        if self._trainer is None:
            return
        due = trainer.strategy.reduce_boolean_decision(self._received and not self._requeued, all=False)
        if due and _last_checkpoint(trainer).can_resume_after(trainer, outputs):
            trainer.save_checkpoint(next_requeue_checkpoint(Path(trainer.default_root_dir)))
            self._requeue(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Requeue before a validation that would delay it."""
        self._requeue_if_received(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Requeue at the end of an epoch if `LastCheckpoint` has just saved; otherwise after the next step."""
        if _last_checkpoint(trainer).has_saved(trainer):
            self._requeue_if_received(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the checkpoints of requeues: the last checkpoint is newer."""
        if trainer.is_global_zero:
            for path in requeue_checkpoints(Path(trainer.default_root_dir)):
                path.unlink(missing_ok=True)

    def _requeue_if_received(self, trainer: Trainer) -> None:
        if self._trainer is not None and self._received:
            self._requeue(trainer)

    def _requeue(self, trainer: Trainer) -> None:
        if self._requeued:
            return
        self._requeued = True
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            logger.save()
        array, job = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_JOB_ID", "")
        if array is not None:
            job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
        try:
            subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            _log.warning("SLURM did not requeue job %s: %s. Submit the same command again.", job, error)


def _last_checkpoint(trainer: Trainer) -> LastCheckpoint:
    last = find_callback(trainer, LastCheckpoint)
    assert last is not None  # every `fit` has one
    return last
