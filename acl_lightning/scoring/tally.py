"""Counts of scored rows: exits, confidences, and quality where labels are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from acl_lightning.errors import UserError
from acl_lightning.serving import Answers

#: Number of bins of equal width from 0 to 1 in which confidences are counted.
BINS = 20

#: Sums over the labelled rows of a regression, with the prediction x and the label y: 1, x, y, x^2, y^2, x y.
NUM_MOMENTS = 6


class Tally:
    """Counts over the scored rows, in constant memory.

    Args:
        exit_layers: Layer of each exit.
        num_classes: Number of classes C; 0 for a regression.

    Attributes:
        rows: Number of rows.
        skipped: Number of rows without a valid text, which have no answer.
        undefined: Number of rows whose logits are not finite, which have no answer.
        exit_counts: Number (E,) of answered rows that left at each exit.
        confidence_counts: Number (20,) of answered rows by confidence, in bins of equal width; zeros for a regression.
        confidence_sum: Sum of the confidences of the labelled rows.
        confusion: Number (C, C) of labelled rows by label and predicted class.
        moments: Sums for a regression, see `NUM_MOMENTS`.
    """

    def __init__(self, exit_layers: Sequence[int], num_classes: int) -> None:
        self.exit_layers = tuple(exit_layers)
        self.rows = self.skipped = self.undefined = 0
        self.exit_counts = np.zeros(len(exit_layers), dtype=np.int64)
        self.confidence_counts = np.zeros(BINS, dtype=np.int64)
        self.confidence_sum = 0.0
        self.confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
        self.moments = np.zeros(NUM_MOMENTS)

    @property
    def answered(self) -> int:
        """Number of rows with an answer."""
        return int(self.exit_counts.sum())

    @property
    def labelled(self) -> int:
        """Number of answered rows with a label."""
        return int(self.confusion.sum() if len(self.confusion) else self.moments[0])

    @property
    def mean_exit_layer(self) -> float:
        """Mean exit layer of the answered rows; NaN without any."""
        return float(self.exit_counts @ np.array(self.exit_layers) / self.answered) if self.answered else float("nan")

    def add(self, answers: Answers, labels: Sequence[int | float | None] | None = None) -> None:
        """Count answers.

        Args:
            answers: Answers for B rows.
            labels: Class index or value of each row; None for a row without a label. None: no row has one.
        """
        finite_B: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(answers.logits), axis=1)
        self.rows += len(answers)
        self.undefined += int((~finite_B).sum())
        exits_B = np.searchsorted(self.exit_layers, answers.exit_layers[finite_B])
        self.exit_counts += np.bincount(exits_B, minlength=len(self.exit_layers))
        confidence_B = answers.confidences.astype(np.float64)
        if len(self.confusion):
            bin_B = (confidence_B[finite_B] * BINS).astype(np.int64).clip(0, BINS - 1)
            self.confidence_counts += np.bincount(bin_B, minlength=BINS)
        known = [row for row, label in enumerate(labels or ()) if label is not None and finite_B[row]]
        if not known or labels is None:
            return
        truth = np.array([labels[row] for row in known])
        if len(self.confusion):
            np.add.at(self.confusion, (truth.astype(np.int64), answers.logits[known].argmax(axis=1)), 1)
            self.confidence_sum += float(confidence_B[known].sum())
        else:
            value = answers.logits[known, 0].astype(np.float64)
            terms = (np.ones_like(value), value, truth, value**2, truth**2, value * truth)
            self.moments += np.array([term.sum() for term in terms])

    def skip(self, rows: int) -> None:
        """Count rows without a valid text."""
        self.rows += rows
        self.skipped += rows

    def to_json(self) -> dict[str, object]:
        """Return all counts in plain JSON types."""
        return {
            "rows": self.rows,
            "skipped": self.skipped,
            "undefined": self.undefined,
            "exit_counts": self.exit_counts.tolist(),
            "confidence_counts": self.confidence_counts.tolist(),
            "confidence_sum": self.confidence_sum,
            "confusion": self.confusion.tolist(),
            "moments": self.moments.tolist(),
        }

    def restore(self, counts: Mapping[str, object]) -> None:
        """Replace all counts by those that `to_json` returned.

        Raises:
            UserError: They are damaged, or belong to a package with other exits or classes.
        """
        for name, old in vars(self).items():
            if name == "exit_layers":
                continue
            new = np.asarray(counts.get(name, "missing"))
            if new.dtype.kind not in "if" or new.size != np.size(old):
                raise UserError(
                    f"counts of scored rows as {name!r}",
                    "damaged ones",
                    "Remove the .part and .journal files of --output to begin anew, or set --output to another file.",
                )
            replaced = new.reshape(old.shape).astype(old.dtype) if isinstance(old, np.ndarray) else type(old)(new)
            setattr(self, name, replaced)
