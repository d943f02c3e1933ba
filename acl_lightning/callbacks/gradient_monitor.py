"""Telemetry of the gradients: angles, conflict rate, discarded steps, losses per exit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from acl_lightning.callbacks.angles import cosines, degrees, pair_products
from acl_lightning.errors import UserError
from acl_lightning.gradients import products_with_protected
from acl_lightning.gradients.collect import Row


class GradientMonitor(Callback):
    """Records what the gradient step saw, without changing it.

    Logged, with k the name of an auxiliary term:
        - `gradient/cosine/k`, `gradient/angle/k` (degrees) against the protected term, over the parameters that both
          reach, before clipping, every `every_n_steps`;
        - `gradient/norm/<term>`: Euclidean norms over the same parameters (of the protected term: those that it shares
          with any other);
        - `gradient/conflict_rate/k`: share of all optimiser steps so far with an angle beyond 90 degrees;
        - `gradient/discarded_steps`, `gradient/skipped_steps`: counts so far;
        - `train/exit_<layer>/<term>`: unweighted losses.

    Nothing but its loss is logged of a term that reaches no parameter which the protected term reaches too, such as
    that of the learnt gate: there is no angle. Nor is there one at a step at which a gradient is zero.

    A rule that needs one backward pass (`Sum`) has no separate gradients: only losses and skipped steps are logged.
    With `check_every_n_steps` cosines and norms are taken where a record falls on a check, and repeated until the next;
    a rate counts a decision as often as it holds.

    Args:
        every_n_steps: interval of all but the counts, in optimiser steps. One record costs two passes over the
            gradients and no backward pass.

    Raises:
        UserError: the interval is not positive.
    """

    def __init__(self, every_n_steps: int = 10) -> None:
        if every_n_steps < 1:
            raise UserError("an interval >= 1", f"{every_n_steps}", "Set gradient_monitor.every_n_steps.")
        self.every_n_steps = every_n_steps
        self.steps = 0
        self.conflicts: list[int] = []
        self.discarded = 0
        self.skipped = 0
        self._shared_K: list[bool] | None = None
        self._cosines_K: Tensor | None = None
        self._norms_K: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Counts so far, so that a resumed run goes on counting."""
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
        """Watch the gradient step."""
        pl_module.step.observers.append(self._observe)  # type: ignore[union-attr, operator]

    def _observe(self, rows: Sequence[Row]) -> None:
        if self.steps % self.every_n_steps or len(rows) < 2:
            return
        others = [any(p is not None and t is not None for p, t in zip(rows[0], row, strict=True)) for row in rows[1:]]
        self._shared_K = [any(others), *others]
        protected = products_with_protected(rows)[0]
        firsts, products, squares = zip(*(pair_products(rows[0], row).sum(dim=1) for row in rows[1:]), strict=True)
        self._norms_K = torch.stack([protected, *squares]).sqrt()
        self._cosines_K = cosines(
            torch.stack([protected, *products]),
            torch.stack([protected, *firsts]),
            torch.stack([protected, *squares]),
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log what the finished step reported."""
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
            self._log(pl_module, outputs)

    def _log(self, pl_module: LightningModule, outputs: dict[str, Any]) -> None:
        objective: Any = pl_module.objective
        with torch.no_grad():
            losses = objective.losses_per_exit(outputs["outputs"].at_least_float32(), outputs["labels"])
        values: dict[str, Any] = {
            f"train/exit_{layer}/{name}": loss
            for name, loss_E in losses.items()
            for layer, loss in zip(pl_module.exit_layers, loss_E, strict=True)  # type: ignore[arg-type]
        }
        values["gradient/skipped_steps"] = float(self.skipped)
        if self.conflicts:
            values["gradient/discarded_steps"] = float(self.discarded)
        shared_K = self._shared_K or [True] * len(losses)
        for name, shared, count in zip(list(losses)[1:], shared_K[1:], self.conflicts, strict=False):
            if shared:
                values[f"gradient/conflict_rate/{name}"] = count / self.steps
        if self._cosines_K is not None and self._norms_K is not None:
            for name, shared, cosine, norm in zip(losses, shared_K, self._cosines_K, self._norms_K, strict=True):
                if shared:
                    values[f"gradient/norm/{name}"] = norm.float()
                if shared and name != next(iter(losses)) and norm != 0 and self._norms_K[0] != 0:
                    values[f"gradient/cosine/{name}"] = cosine.float()
                    values[f"gradient/angle/{name}"] = degrees(cosine).float()
        pl_module.log_dict(values)
