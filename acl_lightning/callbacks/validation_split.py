"""Callback that checks the sizes of selection split and report split before the training."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from acl_lightning.errors import UserError
from acl_lightning.training.trainer_attributes import datamodule_of, is_fast_dev_run


class ValidationSplitCheck(Callback):
    """Refuses a validation set without samples in the selection split, or without samples in the report split.

    Without this check the exit sweep would fail after the training.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the samples that the exit sweep will read.

        Raises:
            UserError: One of the two splits is empty.
        """
        data = datamodule_of(trainer)
        if stage not in {"fit", "validate"} or is_fast_dev_run(trainer) or not hasattr(data, "validation_rows"):
            return
        selection_B = data.validation_rows(data.info.validation_splits[0]).columns.get("selection")
        if selection_B is None:
            return
        rows_per_batch = data.eval_batch_size * trainer.world_size
        limit = trainer.limit_val_batches
        num_batches = limit if isinstance(limit, int) else int(limit * -(-len(selection_B) // rows_per_batch))
        seen_B = selection_B[: num_batches * rows_per_batch]
        if num_batches > 0 and (seen_B.all() or not seen_B.any()):
            raise UserError(
                "at least 2 validation samples, one to select thresholds and one to report",
                f"{len(seen_B)}, all in the {'selection' if seen_B.all() else 'report'} split",
                "Give more validation data (data.synthetic_rows=8 or more), or set trainer.limit_val_batches=1.0.",
            )
