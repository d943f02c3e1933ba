"""Callback that ends all processes of a run at SIGTERM."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from acl_lightning.runs.session import Termination


class CommonEnd(Callback):
    """Ends all processes of a distributed run after the same batch when one of them receives SIGTERM.

    Lightning's handler starts a broadcast inside the signal handler, in the middle of other communication: two
    processes on gloo then wait for each other forever. This handler only sets a flag, and the processes exchange their
    flags after every batch. With a single process Lightning's handler stays.

    Args:
        termination: Handler of the command; its `received` is set, so that the exit code is that of SIGTERM.
    """

    def __init__(self, termination: Termination) -> None:
        self.termination = termination
        self._received = False

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._received = True

    def _install(self, trainer: Trainer) -> None:
        """Replace Lightning's handler. Lightning restores the handler before it at the end."""
        if trainer.world_size > 1:
            signal.signal(signal.SIGTERM, self._on_signal)

    def _end_together(self, trainer: Trainer) -> None:
        if trainer.world_size > 1 and trainer.strategy.reduce_boolean_decision(self._received, all=False):
            self.termination.received = True
            raise SIGTERMException

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handler."""
        self._install(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handler."""
        self._install(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handler."""
        self._install(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handler."""
        self._install(trainer)

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """End if any process received the signal."""
        self._end_together(trainer)

    def on_validation_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """End if any process received the signal."""
        self._end_together(trainer)

    def on_test_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """End if any process received the signal."""
        self._end_together(trainer)

    def on_predict_batch_end(self, trainer: Trainer, *arguments: Any) -> None:
        """End if any process received the signal."""
        self._end_together(trainer)
