"""Telemetry of the gradient step in training: angles, conflict rates, discarded steps, losses per exit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from acl_lightning.errors import UserError
from acl_lightning.gradients import Row, RowComparison, compare_rows, degrees
from acl_lightning.training.module import ACLModule


class GradientMonitor(Callback):
    """Logs the gradients that the gradient step compares, and does not change them.

    Logged, with k the name of an auxiliary term:
        - `gradient/cosine/k`, `gradient/angle/k` (degrees): angle to the gradient of the protected term over the
          parameters that both terms reach, before clipping, every `every_n_steps`;
        - `gradient/norm/<term>`: Euclidean norm over the same parameters; for the protected term over the parameters
          that it shares with any other term;
        - `gradient/conflict_rate/k`: share of all optimiser steps so far with an angle above 90 degrees;
        - `gradient/discarded_steps`, `gradient/skipped_steps`: counts so far;
        - `train/exit_<layer>/<term>`: unweighted losses.

    A term that shares no parameter with the protected term, such as that of the learnt gate, has no angle: only its
    losses are logged. A step at which a gradient is zero has no angle either.

    A rule that needs a single backward pass (`Sum`) has no separate gradients: only losses and skipped steps are
    logged. With `check_every_n_steps`, cosines and norms are updated at steps that are both logged and checked. A
    decision counts in the conflict rate at every step at which it holds.

    Args:
        every_n_steps: Interval of everything but the counts, in optimiser steps. A logged step costs two passes over
            the gradients and no backward pass.

    Raises:
        UserError: The interval is not positive.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise UserError(
                "an interval >= 1", f"{every_n_steps}", "Set gradient_monitor.every_n_steps to 10 (the default)."
            )
        self.every_n_steps = every_n_steps
        self.steps = 0
        self.conflicts: list[int] = []
        self.discarded = 0
        self.skipped = 0
        self._shared_K: list[bool] | None = None
        self._comparison: RowComparison | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the counts, so that a resumed run continues to count."""
        return {
            "steps": self.steps,
            "conflicts": list(self.conflicts),
            "discarded": self.discarded,
            "skipped": self.skipped,
            "shared": self._shared_K,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the counts."""
        self.steps, self.discarded, self.skipped = (state_dict[key] for key in ("steps", "discarded", "skipped"))
        self.conflicts = list(state_dict["conflicts"])
        self._shared_K = state_dict.get("shared")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Observe the gradient step."""
        assert isinstance(pl_module, ACLModule)
        assert pl_module.step is not None
        pl_module.step.observers.append(self._observe)

    def _observe(self, rows: Sequence[Row]) -> None:
        if self.steps % self.every_n_steps == 0 and len(rows) > 1:
            self._comparison = compare_rows(rows)
            self._shared_K = self._comparison.shared_K

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the decisions of a finished step, and log."""
        report = outputs["report"]
        if report is None:
            return
        products_K = report.products_K
        if len(self.conflicts) != len(products_K) - 1:
            self.conflicts = [0] * (len(products_K) - 1)
        conflicting = (products_K[1:] < 0).tolist()
        self.conflicts = [count + bool(now) for count, now in zip(self.conflicts, conflicting, strict=True)]
        self.discarded += report.discarded
        self.skipped += report.skipped
        due = self.steps % self.every_n_steps == 0
        self.steps += 1
        if due:
            assert isinstance(pl_module, ACLModule)
            self._log(pl_module, outputs)

    def _log(self, module: ACLModule, outputs: dict[str, Any]) -> None:
        with torch.no_grad():
            losses = module.objective.losses_per_exit(outputs["outputs"].at_least_float32(), outputs["labels"])
        values: dict[str, Any] = {
            f"train/exit_{layer}/{name}": loss
            for name, loss_E in losses.items()
            for layer, loss in zip(module.exit_layers, loss_E, strict=True)
        }
        values["gradient/skipped_steps"] = float(self.skipped)
        if self.conflicts:
            values["gradient/discarded_steps"] = float(self.discarded)
        names = list(losses)
        shared_K = self._shared_K or [True] * len(names)
        for name, shared, count in zip(names[1:], shared_K[1:], self.conflicts, strict=False):
            if shared:
                values[f"gradient/conflict_rate/{name}"] = count / self.steps
        if self._comparison is not None:
            values |= _angles(names, self._comparison)
        module.log_dict(values)


def _angles(names: Sequence[str], comparison: RowComparison) -> dict[str, Any]:
    """Return norms, and cosines and angles to the first term where both gradients are not zero."""
    values: dict[str, Any] = {}
    columns = zip(names, comparison.shared_K, comparison.cosines_K, comparison.norms_K, strict=True)
    for name, shared, cosine, norm in columns:
        if shared:
            values[f"gradient/norm/{name}"] = norm.float()
        if shared and name != names[0] and norm != 0 and comparison.norms_K[0] != 0:
            values[f"gradient/cosine/{name}"] = cosine.float()
            values[f"gradient/angle/{name}"] = degrees(cosine).float()
    return values
