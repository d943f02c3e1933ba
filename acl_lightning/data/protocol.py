"""Selection protocol: which rows are trained on, which select, and which are reported."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from acl_lightning.data.stratified import stratified_order, stratified_rows
from acl_lightning.errors import UserError

#: Split that the selection rows are taken from.
SelectionSource = Literal["validation", "train"]

#: Share of the training rows that select by default, and the smallest and the largest default number of them.
DEFAULT_SHARE, FEWEST, MOST = 0.1, 100, 1000


class Division(NamedTuple):
    """Row numbers in the training split, ascending. No row is in both lists.

    Attributes:
        training: Rows to train on.
        selection: Rows of the selection split; empty if it is taken from the validation split.
    """

    training: list[int]
    selection: list[int]


@dataclass(frozen=True)
class SelectionProtocol:
    """Division of the labelled rows into training rows, selection split and report split.

    The selection split selects checkpoint, temperatures and thresholds. The results are measured on the report split.

    - `selection="validation"`: the validation split is divided into two disjoint parts of equal size, stratified by
      label: the selection split and the report split. (SCL's few-shot protocol takes 500 rows and 50 % of the GLUE
      validation set, which overlap for SST-2.)
    - `selection="train"`: the selection split is a stratified part of the training rows, which are never trained on,
      and the report split is the whole validation split. The part is drawn before `train_rows`, so it is the same for
      every number of training rows. Smaller training subsets are contained in larger ones.

    Attributes:
        selection: Split that the selection rows are taken from.
        selection_rows: Number of training rows in the selection split; None: a tenth of them, at least 100 and at most
            1000. Not used with `selection="validation"`.
        train_rows: Number of rows to train on, drawn with the labels' shares kept; None: all that remain.
        seed: Seed of all draws.

    Raises:
        UserError: A setting is out of range.
    """

    selection: SelectionSource = "validation"
    selection_rows: int | None = None
    train_rows: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.selection not in ("validation", "train"):
            raise UserError(
                "--data.selection among validation, train", repr(self.selection), "Set data.selection to one of them."
            )
        for name in ("selection_rows", "train_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--data.{name} of at least 1", f"{value}", f"Set data.{name} to 1 or more, or null.")
        if self.selection_rows is not None and self.selection == "validation":
            warnings.warn(
                f"data.selection_rows = {self.selection_rows} has no effect with data.selection = validation, which "
                "selects on validation rows. Set data.selection to train.",
                stacklevel=2,
            )

    @property
    def text(self) -> str:
        """The protocol in words, for `result.json`."""
        if self.selection == "train":
            return "selected on training rows that are not trained on; reported on the whole validation split"
        return "selected and reported on disjoint parts of the validation split, stratified by label"

    def divide(self, labels: Sequence[float], task: str) -> Division:
        """Divide the rows of the training split.

        Args:
            labels: Class index or score of each row.
            task: Name of the task, for messages.

        Raises:
            UserError: There are fewer rows than the settings require.
        """
        if self.selection == "validation":
            return Division(self._training_rows(labels, task), [])
        size = self._num_selection_rows(len(labels), task)
        selection = sorted(stratified_order(labels, self.seed)[:size])
        excluded = set(selection)
        rest = [row for row in range(len(labels)) if row not in excluded]
        if self.train_rows is not None:
            order = stratified_order([labels[row] for row in rest], self.seed)
            rest = sorted(rest[position] for position in order[: self.train_rows])
        return Division(rest, selection)

    def selected(self, labels: Sequence[float]) -> Tensor:
        """Return which rows of a validation split belong to the selection split, bool.

        Args:
            labels: Class index or score of each row.
        """
        selected = torch.zeros(len(labels), dtype=torch.bool)
        if self.selection == "validation":
            selected[stratified_rows(labels, (len(labels) + 1) // 2, self.seed)] = True
        return selected

    def _training_rows(self, labels: Sequence[float], task: str) -> list[int]:
        if self.train_rows is None:
            return list(range(len(labels)))
        if self.train_rows > len(labels):
            raise UserError(
                f"--data.train_rows up to {len(labels)} for {task}",
                f"{self.train_rows}",
                f"Set data.train_rows to {len(labels)} or less, or to null for all rows.",
            )
        return stratified_rows(labels, self.train_rows, self.seed)

    def _num_selection_rows(self, num_rows: int, task: str) -> int:
        """Return the number of training rows in the selection split after checking that enough remain."""
        default = min(max(round(DEFAULT_SHARE * num_rows), FEWEST), MOST)
        size = default if self.selection_rows is None else self.selection_rows
        needed = size + (self.train_rows or 1)
        if needed > num_rows:
            training = "at least 1" if self.train_rows is None else str(self.train_rows)
            remedies = (
                [f"data.selection_rows to {num_rows - needed + size} or less"] if needed - size < num_rows else []
            )
            if self.train_rows is not None and size < num_rows:
                remedies.append(f"data.train_rows to {num_rows - size} or less")
            raise UserError(
                f"selection rows and training rows among the {num_rows} rows of the training split of {task}",
                f"{size} selection rows and {training} to train on",
                f"Set {' or '.join(remedies) or 'data.selection to validation'}.",
            )
        return size
