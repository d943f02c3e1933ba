"""Check that the exit sweep will find samples in both halves of the validation set, before anything is trained."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from acl_lightning.errors import UserError


class ValidationHalves(Callback):
    """Refuses a validation set that has no sample for the selection of thresholds, or none for the report.

    Without this check the sweep after the training fails.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look at the samples that the sweep will see.

        Raises:
            UserError: one of the two halves is empty.
        """
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if stage not in {"fit", "validate"} or getattr(trainer, "fast_dev_run", False) or not hasattr(data, "rows"):
            return
        selection_B = data.rows(data.info.validation_splits[0]).columns.get("selection")
        if selection_B is None:
            return
        rows_per_batch = data.eval_batch_size * trainer.world_size
        limit = trainer.limit_val_batches
        number = limit if isinstance(limit, int) else int(limit * -(-len(selection_B) // rows_per_batch))
        seen_B = selection_B[: number * rows_per_batch]
        if number > 0 and (seen_B.all() or not seen_B.any()):
            raise UserError(
                "at least 2 validation samples, one to select thresholds and one to report",
                f"{len(seen_B)}, all in the {'selection' if seen_B.all() else 'report'} half",
                "Give more validation data (data.synthetic_rows=8 or more), or set trainer.limit_val_batches=1.0.",
            )
