"""Metrics of an evaluation at every exit, over all batches and processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.metrics import METRICS, check_metrics
from acl_lightning.outputs import predictions
from acl_lightning.training.sample_columns import Columns, gathered, joined


class ExitMetrics:
    """Metrics of an evaluation, for every validation set and exit, and for the selection split.

    Predictions are kept and, with several processes, gathered. Rows with the same index count once: the last batch of
    a distributed evaluation is padded with rows of the beginning.

    Args:
        names: Metrics, the primary one first.
        exit_layers: Layer of each exit.
        num_sets: Number of validation sets; MNLI has two.
        world_size: Number of processes that evaluate together.
        selection_counts: Whether `compute` includes the selection split. False: it consists of training rows.

    Raises:
        UserError: A metric is unknown, or there is none.
    """

    def __init__(
        self,
        names: Sequence[str],
        exit_layers: Sequence[int],
        *,
        num_sets: int = 1,
        world_size: int = 1,
        selection_counts: bool = True,
    ) -> None:
        check_metrics(names)
        self.names = tuple(names)
        self.exit_layers = tuple(exit_layers)
        self.world_size = world_size
        self.selection_counts = selection_counts
        self._batches: list[list[Columns]] = [[] for _ in range(num_sets)]
        self._gathered: dict[int, Columns] = {}

    def update(
        self,
        logits_EBC: Tensor,
        labels_B: Tensor,
        *,
        selection_B: Tensor | None = None,
        index_B: Tensor | None = None,
        number: int = 0,
    ) -> None:
        """Add a batch.

        Args:
            logits_EBC: Logits of every exit.
            labels_B: Labels.
            selection_B: Bool, True for the selection split; read for the first validation set only.
            index_B: Index of each row in its split. Without it duplicates are not recognised.
            number: Number of the validation set, from 0.
        """
        columns = {
            "predictions": predictions(logits_EBC).T,
            "finite": logits_EBC.isfinite().all(dim=-1).T,
            "labels": labels_B,
            "selection": selection_B,
            "index": index_B,
        }
        self._batches[number].append({name: column for name, column in columns.items() if column is not None})
        self._gathered.pop(number, None)

    def check_finite(self, number: int = 0) -> None:
        """Raise `UserError` with the exits whose logits are not finite.

        With several processes, all of them must call this after the same batch, and all raise the same error.
        """
        finite_BE = self._columns(number).get("finite")
        if finite_BE is None or bool(finite_BE.all()):
            return
        counts = dict(zip(self.exit_layers, (~finite_BE).sum(dim=0).tolist(), strict=True))
        layers = ", ".join(f"layer {layer} ({count})" for layer, count in counts.items() if count)
        raise UserError(
            "finite logits at every exit",
            f"NaN or infinity for some of {len(finite_BE)} samples at the exits of {layers}",
            "The training diverged: use an earlier checkpoint, or train again with a lower "
            "model.optimization.learning_rate or with trainer.precision=32-true.",
        )

    def compute(self) -> Iterator[tuple[int, int, dict[str, float]]]:
        """Yield number of the validation set, layer of the exit, metrics by name. Sets without a batch are left out.

        Raises:
            UserError: Logits are not finite.
        """
        for number in range(len(self._batches)):
            self.check_finite(number)
            columns = self._columns(number)
            if columns and not self.selection_counts and "selection" in columns:
                report_n = ~columns["selection"].bool()
                columns = {name: column[report_n] for name, column in columns.items()}
            if columns:
                for layer, predictions_n in zip(self.exit_layers, columns["predictions"].T, strict=True):
                    labels_n = columns["labels"]
                    yield number, layer, {name: float(METRICS[name](predictions_n, labels_n)) for name in self.names}

    def on_selection_split(self) -> Tensor | None:
        """Return the primary metric (E,), float32, of every exit on the selection split; None without such a split."""
        columns = self._columns(0)
        if "selection" not in columns:
            return None
        selected_n = columns["selection"].bool()
        metric, labels_n = METRICS[self.names[0]], columns["labels"][selected_n]
        return torch.stack([metric(values_n[selected_n], labels_n).float() for values_n in columns["predictions"].T])

    def _columns(self, number: int) -> Columns:
        """Return the columns of a set on the CPU, with the distinct rows of all processes; empty without a batch."""
        if number not in self._gathered:
            self._gathered[number] = gathered(joined(self._batches[number]), self.world_size)
        return self._gathered[number]
