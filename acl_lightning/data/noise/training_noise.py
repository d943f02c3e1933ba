"""Noise of the training split: labels and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from acl_lightning.data.noise.labels import flip_labels
from acl_lightning.data.noise.text_noise import TextNoise
from acl_lightning.data.tasks import TaskInfo
from acl_lightning.errors import UserError


@dataclass(frozen=True)
class TrainingNoise:
    """Noise that is added to the rows that are trained on, and to no others.

    Attributes:
        label_rate: Share of wrong labels, 0 to 1; see `flip_labels`.
        text: Noise of the texts; None: none.
        seed: Seed of the draws.
    """

    label_rate: float = 0.0
    text: TextNoise | None = None
    seed: int = 0

    def check(self, info: TaskInfo) -> None:
        """Raise `UserError` if the rate is out of range, or the labels are scores, which have no other classes."""
        if not 0 <= self.label_rate <= 1:
            raise UserError("--data.label_noise from 0 to 1", f"{self.label_rate}", "Set data.label_noise to 0.2.")
        if self.label_rate and info.num_labels < 2:
            raise UserError(
                "a classification task for label noise", f"{info.name}, a regression", "Set data.label_noise to 0."
            )

    def labels(self, labels: Sequence[int], num_classes: int) -> list[int]:
        """Return the labels of the training rows with wrong ones among them."""
        return flip_labels(labels, num_classes, self.label_rate, self.seed) if self.label_rate else list(labels)

    def texts(self, rows: Dataset, columns: Sequence[str], index: Sequence[int], cache_dir: Path) -> Dataset:
        """Return the training rows with changed texts.

        The draws of a text depend on the seed, its column and its row number, so a row has the same noise in every
        subset.

        Args:
            rows: Training rows.
            columns: Names of their text columns.
            index: Row number of each row in the training split.
            cache_dir: Directory for results that are expensive to compute.
        """
        if self.text is None:
            return rows
        content = {name: rows[:][name] for name in rows.column_names}
        for name in columns:
            keys = [f"{self.seed}/{name}/{row}" for row in index]
            content[name] = self.text.apply(content[name], keys, cache_dir)
        return Dataset.from_dict(content, features=rows.features)
