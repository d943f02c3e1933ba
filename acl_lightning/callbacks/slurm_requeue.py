"""Requeue of a SLURM job that is about to reach its time limit."""

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

from acl_lightning.callbacks.last_checkpoint import LastCheckpoint

_log = logging.getLogger(__name__)


class SlurmRequeue(Checkpoint):
    """Answers SLURM's warning signal (SIGUSR1) with a checkpoint and `scontrol requeue`.

    Lightning's own handler saves wherever the signal arrives, also in the middle of a step, from where no run can
    resume exactly. This callback waits for the next step after which `LastCheckpoint` could save, and writes
    `hpc_ckpt_N.ckpt` into the run directory. If a validation comes first, or there is nothing left to train, the job is
    requeued at once: it resumes from the last checkpoint that was saved. A run that ends removes the files.

    The requeued job repeats the same command; it needs a fixed `--run_dir`. Give the signal time before the limit with
    `#SBATCH --signal=USR1@120`. Without SLURM, or with `SLURMEnvironment(auto_requeue=False)` among the Trainer's
    plugins, this callback does nothing.
    """

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._received = False
        self._requeued = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Install the handler. Lightning leaves a signal alone that has one."""
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
        last = next(callback for callback in trainer.checkpoint_callbacks if isinstance(callback, LastCheckpoint))
        if due and last.can_resume_after(trainer, outputs):
            trainer.save_checkpoint(self._next_path(trainer))
            self._requeue(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Requeue before a validation that would delay it."""
        self._requeue_if_received(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Requeue at the end of an epoch, where `LastCheckpoint` has just saved."""
        self._requeue_if_received(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the checkpoints of requeues, which the last one replaces."""
        if trainer.is_global_zero:
            for path in Path(trainer.default_root_dir).glob("hpc_ckpt_*.ckpt"):
                path.unlink(missing_ok=True)

    def _next_path(self, trainer: Trainer) -> Path:
        directory = Path(trainer.default_root_dir)
        taken = [path.stem.removeprefix("hpc_ckpt_") for path in directory.glob("hpc_ckpt_*.ckpt")]
        return directory / f"hpc_ckpt_{max((int(number) for number in taken if number.isdigit()), default=0) + 1}.ckpt"

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
