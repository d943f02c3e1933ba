"""Progress bar of the command line."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar


class ProgressBar(RichProgressBar):
    """Lightning's Rich progress bar, counting epochs from 1 and without the logger's version number."""

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Return the logged metrics without `v_num`."""
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}

    def _get_train_description(self, current_epoch: int) -> str:
        """Return `Epoch 1/3` for the first of three epochs; `Epoch 1` where their number is not limited."""
        last = self.trainer.max_epochs
        description = f"Epoch {current_epoch + 1}" if last in (None, -1) else f"Epoch {current_epoch + 1}/{last}"
        return f"{description:{len(self.validation_description)}}"
