"""Tables of images: labels, names, and a function that opens an image."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ImageTable:
    """Images of a split in a fixed order.

    Attributes:
        names: Name of each image: its path below the directory, or its number.
        labels: Class index of each image; None without labels.
        load: Function from a row number to the image (C, H, W), uint8.
        content: Hash of the images.
    """

    names: Sequence[str]
    labels: Sequence[int] | None
    load: Callable[[int], Tensor]
    content: str

    def __len__(self) -> int:
        return len(self.names)

    def select(self, rows: Sequence[int]) -> ImageTable:
        """Return some rows, in the given order."""
        kept = list(rows)
        labels = None if self.labels is None else [self.labels[row] for row in kept]
        content = hashlib.sha256(f"{self.content} {kept}".encode()).hexdigest()
        return ImageTable([self.names[row] for row in kept], labels, lambda row: self.load(kept[row]), content)

    def spread(self, others: ImageTable, order: Sequence[int]) -> ImageTable:
        """Return these images followed by `others`, in the order `order` of their row numbers."""
        first = len(self)
        labels = None if self.labels is None or others.labels is None else [*self.labels, *others.labels]
        both = ImageTable(
            [*self.names, *others.names],
            labels,
            lambda row: self.load(row) if row < first else others.load(row - first),
            f"{self.content} {others.content}",
        )
        return both.select(order)
