"""Source of the splits of a table: read once, checked, and cached by content."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset

from acl_lightning.data.stratified import stratified_rows
from acl_lightning.data.tables.labelled import LABEL, NUMBER, LabelledRows, note_of
from acl_lightning.data.tables.labels import infer_label_names, with_class_indices
from acl_lightning.data.tables.layout import TableLayout, check_columns
from acl_lightning.data.tables.opening import TablePlace
from acl_lightning.data.tasks import TaskInfo
from acl_lightning.data.token_cache import load_or_build
from acl_lightning.errors import UserError

#: Part of the cache key; to be increased when the columns or the checks of `LabelledRows` change.
TABLE_VERSION = 1


@dataclass
class TableSource:
    """Labelled splits of tables; see `acl_lightning.data.sources.Source`.

    Without a validation table, a share of the training rows is the validation split: stratified by class (by the
    nearest integer for a regression), the same for every order of the training and every seed but `seed`. Every class
    keeps at least one training row.

    Attributes:
        places: Split name -> where it is stored; `train` is required.
        layout: Text, label and id columns.
        cache_dir: Directory of the rows in Arrow's format.
        regression: Whether the labels are numbers.
        skips_incomplete: Whether rows without a text or a label are left out instead of refused.
        label_names: Names of the classes; None: those of the training split.
        validation_share: Share of the training rows in the validation split without a validation table.
        keeps_single_rows: Whether the only row of a class stays in the training split when the validation split is
            drawn; otherwise such a class is refused.
        seed: Seed of the validation split.
    """

    places: Mapping[str, TablePlace]
    layout: TableLayout
    cache_dir: Path
    regression: bool = False
    skips_incomplete: bool = False
    label_names: Sequence[str] | None = None
    validation_share: float = 0.2
    keeps_single_rows: bool = False
    seed: int = 0
    _tables: dict[str, Dataset] = field(default_factory=dict, repr=False)

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Return the text columns and `label` of a split, in the order of the table.

        Raises:
            UserError: A table is missing, malformed or incomplete, or its labels do not fit; see `LabelledRows`.
        """
        rows = self.with_numbers(split)
        return rows.remove_columns(NUMBER)

    def with_numbers(self, split: str) -> Dataset:
        """Return the rows of `load` with their line or row in the table, column `NUMBER`."""
        stored = split in self.places
        rows = self._table(split if stored else "train")
        if not self.regression:
            place = self.places[split if stored else "train"]
            rows = with_class_indices(rows, self.names(), place, self._name("train"))
        if "validation" in self.places or split not in {"train", "validation"}:
            return rows
        return rows.select(self._drawn(rows, training=split == "train"))

    def names(self) -> list[str]:
        """Return the names of the classes; empty for a regression. The training table is read if they are not set."""
        if self.regression:
            return []
        if self.label_names is None:
            self.label_names = infer_label_names(self._table("train"), self.places["train"])
        return list(self.label_names)

    def _name(self, split: str) -> str:
        return self.places[split].location

    def _table(self, split: str) -> Dataset:
        """Return the checked rows of a table, from the cache if it has been read before."""
        if split not in self._tables:
            place = self.places[split]
            settings = (place.text_format, self.layout, self.regression, self.skips_incomplete, TABLE_VERSION)
            key = hashlib.sha256(f"{place.content_hash()} {settings!r}".encode()).hexdigest()[:32]
            path = self.cache_dir / f"table-{key}.arrow"
            rows = load_or_build(path, lambda: self._write(split, path), None)
            self._tables[split] = Dataset(rows.data, fingerprint=key)
            if note_of(path).exists():
                # Without `stacklevel`: the warning of a table that is opened twice has one place, and is shown once.
                warnings.warn(f"{self._name(split)}: {note_of(path).read_text(encoding='utf-8')}")  # noqa: B028
        return self._tables[split]

    def _write(self, split: str, path: Path) -> None:
        table = self.places[split].open()
        settings = [*["text"] * len(self.layout.text), "label", *["row_id"] * (self.layout.row_id is not None)]
        training = None if split == "train" else self._name("train")
        check_columns(self.layout.required, table.columns, table.name, settings, training=training)
        LabelledRows(table, self.layout, regression=self.regression, skips_incomplete=self.skips_incomplete).write(path)

    def _drawn(self, rows: Dataset, *, training: bool) -> list[int]:
        """Return the row numbers of the training or of the validation split in the training table."""
        labels: list[float] = rows.select_columns([LABEL])[:][LABEL]
        candidates = list(range(len(rows)))
        if not self.regression:
            candidates = self._divisible(rows, labels)
        size = round(self.validation_share * len(candidates))
        if size < 2:
            raise UserError(
                f"enough rows in {self._name('train')} for a validation split of at least 2 rows",
                f"{len(rows)} rows with data.validation_share = {self.validation_share:g}",
                "Set data.validation to a file, or data.validation_share to a larger share, up to 0.5.",
            )
        drawn = stratified_rows([labels[row] for row in candidates], size, self.seed)
        validation = {candidates[position] for position in drawn}
        return [row for row in range(len(rows)) if (row in validation) != training]

    def _divisible(self, rows: Dataset, labels: Sequence[float]) -> list[int]:
        """Return the rows of the classes with at least two rows."""
        counts: dict[float, int] = {}
        for label in labels:
            counts[label] = counts.get(label, 0) + 1
        single = [row for row, label in enumerate(labels) if counts[label] == 1]
        if single and not self.keeps_single_rows:
            noun = "class" if len(single) == 1 else "classes"
            name, line = self.names()[int(labels[single[0]])], rows[single[0]][NUMBER]
            raise UserError(
                f"at least 2 rows of every class in {self._name('train')}, to draw the validation split",
                f"{len(single)} {noun} with one row: {name!r} in {self.places['train'].unit} {line}"
                + (" and others" if len(single) > 1 else ""),
                "Set data.validation to a file, or data.keep_single_rows to true to train on these rows without "
                "validating them.",
            )
        return [row for row, label in enumerate(labels) if counts[label] > 1]
