"""Callbacks that kill their own process, or send it a signal, at a fixed point of a run."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from lightning.pytorch import Callback


def die() -> None:
    """Kill this process with SIGKILL: no `finally`, no `atexit`, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)


class KillBeforeBatch(Callback):
    """Kills the process before batch `batch` of epoch `epoch`, both counted from 0."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.place = (epoch, batch)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Kill the process if this is the batch."""
        if (trainer.current_epoch, batch_idx) == self.place:
            die()


class SignalBeforeBatch(Callback):
    """Sends the process of rank `rank` the signal `name` before batch `batch` of epoch `epoch`, all counted from 0."""

    def __init__(self, epoch: int, batch: int, name: str, rank: int = 0) -> None:
        self.place = (rank, epoch, batch)
        self.signal = signal.Signals[name]

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        """Send the signal if this is the batch."""
        if (trainer.global_rank, trainer.current_epoch, batch_idx) == self.place:
            os.kill(os.getpid(), self.signal)


class SignalInPrediction(Callback):
    """Sends this process SIGTERM before the first batch of a prediction."""

    def on_predict_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0) -> None:
        """Send the signal."""
        os.kill(os.getpid(), signal.SIGTERM)


class KillInValidation(Callback):
    """Kills the process in the validation of epoch `epoch`, counted from 0, between its last step and its end."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0) -> None:
        """Kill the process if this is the epoch."""
        if trainer.current_epoch == self.epoch:
            die()


class KillWhileSaving(Callback):
    """Kills the process when half of the checkpoint of optimiser step `step` is written."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_start(self, trainer, pl_module) -> None:
        """Replace the function that writes checkpoints."""
        write = trainer.strategy.checkpoint_io.save_checkpoint

        def write_half(checkpoint, path, storage_options=None) -> None:
            write(checkpoint, path, storage_options)
            if checkpoint["global_step"] == self.step:
                os.truncate(path, Path(path).stat().st_size // 2)
                die()

        trainer.strategy.checkpoint_io.save_checkpoint = write_half
