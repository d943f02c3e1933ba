"""Training batches with a smallest number of rows per class."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import torch
from torch import Tensor

from acl_lightning.data.batches.train_batches import TrainBatches
from acl_lightning.data.encoding import EncodedRows
from acl_lightning.data.samplers import EpochSampler
from acl_lightning.errors import UserError


class ClassBalanced(TrainBatches):
    """Batches in which every class that occurs has at least `rows_per_class` rows, so that every row has a positive.

    If `rows_per_class` times the number of classes is at most the batch size, every class occurs in every batch.
    Otherwise a batch has `batch_size // rows_per_class` classes, those that are furthest behind their share, and all
    classes take turns. The remaining places are filled so that the classes keep their shares of the training rows as
    closely as possible. Rows of a class are taken in a random order and begin anew when all were taken: rows of a rare
    class may occur several times per epoch, and of a frequent class some may be left out until the next.

    The condition holds in the batch of every process. All batches are full; an epoch has as many as it would have
    without this rule. Two processes with batches of 16 train like one process with batches of 16 that accumulates two.

    Args:
        rows_per_class: Smallest number of rows of each class in a batch.

    Raises:
        UserError: `rows_per_class` is less than 1. In `sampler`: it is more than the batch size, a class has fewer
            training rows, or the task is a regression.
    """

    def __init__(self, rows_per_class: int = 2) -> None:
        if rows_per_class < 1:
            raise UserError("rows_per_class of ClassBalanced >= 1", f"{rows_per_class}", "Set its rows_per_class to 2.")
        self.rows_per_class = rows_per_class

    def sampler(self, rows: EncodedRows, *, seed: int, batch_size: int, world_size: int) -> EpochSampler:
        """Return a sampler that balances the classes."""
        labels = rows.columns["labels"]
        if labels.is_floating_point():
            raise UserError("a classification task for ClassBalanced", "a regression", "Set data.batches to null.")
        if self.rows_per_class > batch_size:
            raise UserError(
                f"rows_per_class of ClassBalanced up to data.batch_size = {batch_size}",
                f"{self.rows_per_class}",
                f"Set its rows_per_class to {batch_size} or less, or data.batch_size to {self.rows_per_class} or more.",
            )
        classes, counts = torch.unique(labels, return_counts=True)
        names = rows.label_names or [f"class {label}" for label in range(int(classes.max()) + 1)]
        rare = [f"{names[label]} ({count})" for label, count in zip(classes.tolist(), counts.tolist(), strict=True)
                if count < self.rows_per_class]  # fmt: skip
        if rare:
            shown = ", ".join(rare[:5]) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
            raise UserError(
                f"at least {self.rows_per_class} training rows of every class for ClassBalanced",
                f"fewer of {shown}",
                f"Set its rows_per_class to {int(counts.min())} or less, or give more rows of these classes.",
            )
        return ClassBalancedSampler(labels, seed, batch_size, world_size, self.rows_per_class)


class ClassBalancedSampler(EpochSampler):
    """Order of rows for batches with a smallest number of rows per class; see `ClassBalanced`.

    Args:
        labels: Class of each row, (n,).
        seed: Seed of the order.
        batch_size: Number of rows in the batch of a process.
        world_size: Number of processes.
        rows_per_class: Smallest number of rows of each class in a batch.
    """

    def __init__(self, labels: Tensor, seed: int, batch_size: int, world_size: int, rows_per_class: int) -> None:
        global_batch = batch_size * world_size
        super().__init__(-(-len(labels) // global_batch) * global_batch, seed)
        self.order = crc32(f"classes {batch_size} {rows_per_class}".encode())
        self.batch_size, self.rows_per_class = batch_size, rows_per_class
        _, counts = torch.unique(labels, return_counts=True)
        self._rows_of = torch.split(labels.argsort(stable=True), counts.tolist())
        self._share_C = torch.tensor([len(rows) for rows in self._rows_of], dtype=torch.float64) / len(labels)

    def __iter__(self) -> Iterator[int]:
        generator = self.generator()
        streams = [_endless(rows, generator) for rows in self._rows_of]
        taken_C = torch.zeros_like(self._share_C)
        num_classes = min(len(streams), self.batch_size // self.rows_per_class)
        for number in range(self.rows // self.batch_size):
            behind_C = (number + 1) * self.batch_size * self._share_C - taken_C
            # Classes with equal deficits take turns at random.
            behind_C += 1e-6 * torch.rand(len(streams), generator=generator, dtype=torch.float64)
            classes = behind_C.topk(num_classes).indices
            counts = self._counts(behind_C[classes])
            taken_C[classes] += counts
            rows = [
                next(streams[label])
                for label, count in zip(classes.tolist(), counts.int().tolist(), strict=True)
                for _ in range(count)
            ]
            yield from (rows[place] for place in torch.randperm(len(rows), generator=generator).tolist())

    def _counts(self, behind_C: Tensor) -> Tensor:
        """Return the number of rows of each class of a batch.

        Args:
            behind_C: Number of rows that each class of the batch is behind its share, this batch included.
        """
        counts_C = torch.full_like(behind_C, self.rows_per_class)
        for _ in range(self.batch_size - self.rows_per_class * len(behind_C)):
            counts_C[(behind_C - counts_C).argmax()] += 1
        return counts_C


def _endless(rows: Tensor, generator: torch.Generator) -> Iterator[int]:
    """Yield the rows in a random order, again and again, each time in another order."""
    while True:
        yield from rows[torch.randperm(len(rows), generator=generator)].tolist()
