"""Names of the classes of a table, and the class index of every row."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from acl_lightning.data.tables.cells import float_labels, looks_fractional
from acl_lightning.data.tables.labelled import LABEL, NUMBER
from acl_lightning.data.tables.opening import TablePlace
from acl_lightning.errors import UserError

#: Number of labels that a message lists.
LISTED = 5

#: Texts by which tables mark missing values, in lower case. They are labels like others.
MISSING_MARKS = frozenset({"nan", "none", "null", "na", "n/a", "<na>"})


def infer_label_names(rows: Dataset, place: TablePlace) -> list[str]:
    """Return the names of the classes in the training split: sorted as integers if all are integers, else as texts.

    The order does not depend on the order of the rows.

    Args:
        rows: Rows of the training split with their labels as text.
        place: The table.

    Raises:
        UserError: All labels are numbers, and not all are integers; or there is a single class.
    """
    name = place.location
    names: list[str] = pc.unique(rows.data.column(LABEL)).to_pylist()
    fractional = [label for label in names if looks_fractional(label)]
    integers = [label for label in names if re.fullmatch(r"[+-]?\d+", label, re.ASCII)]
    if fractional and len(fractional) + len(integers) == len(names):
        raise float_labels(fractional[0], f"{name}, {place.unit} {_first_row(rows, fractional[0])}")
    if len(names) < 2:
        raise UserError(
            f"at least two classes in {name}", f"{names[0]!r} in every row", "Check data.label and the training rows."
        )
    _warn_about_similar(names, name)
    _warn_about_missing(names, name)
    if len(integers) == len(names):
        return sorted(names, key=lambda label: (int(label), label))
    return sorted(names)


def with_class_indices(rows: Dataset, label_names: Sequence[str], place: TablePlace, training: str) -> Dataset:
    """Replace the names of the classes by their indices.

    Args:
        rows: Rows with their labels as text.
        label_names: Names of the classes in the order of the indices.
        place: The table.
        training: Name of the table that the classes were taken from.

    Raises:
        UserError: A label is not among the classes. The message has the labels, their numbers, and the first line.
    """
    column = rows.data.column(LABEL)
    indices = pc.index_in(column, value_set=pa.array(label_names, type=column.type))
    if indices.null_count:
        unknown = rows.data.table.filter(pc.is_null(indices))
        counts = sorted(pc.value_counts(unknown.column(LABEL)).to_pylist(), key=lambda item: -item["counts"])
        listed = ", ".join(f"{item['values']!r} ({item['counts']})" for item in counts[:LISTED])
        more = f" and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
        own = place.location == training
        rows_of = "1 row" if len(unknown) == 1 else f"{len(unknown)} rows"
        raise UserError(
            f"labels of {'data.label_names' if own else training} in {place.location}",
            f"{rows_of} with other labels: {listed}{more}; first in {place.unit} {unknown.column(NUMBER)[0]}",
            "Add these labels to data.label_names, or set it to null for the labels of the training split."
            if own
            else "Correct or remove these rows, or add rows of these classes to the training split.",
        )
    index = rows.column_names.index(LABEL)
    table = rows.data.table.set_column(index, LABEL, pc.cast(indices, pa.int64()))
    return Dataset(table, fingerprint=rows._fingerprint)


def _first_row(rows: Dataset, label: str) -> int:
    position = pc.index(rows.data.column(LABEL), label).as_py()
    return int(rows.data.column(NUMBER)[position].as_py())


def _warn_about_similar(names: Sequence[str], table: str) -> None:
    """Warn about classes whose names differ in case or white space only."""
    by_text: dict[str, str] = {}
    for name in names:
        other = by_text.setdefault(" ".join(name.lower().split()), name)
        if other != name:
            warnings.warn(
                f"the labels {other!r} and {name!r} of {table} differ in case or white space only, and are two classes",
                stacklevel=2,
            )
            return


def _warn_about_missing(names: Sequence[str], table: str) -> None:
    """Warn about classes whose names often mark missing values."""
    marks = [name for name in names if name.strip().lower() in MISSING_MARKS]
    if marks:
        warnings.warn(
            f"the labels {', '.join(map(repr, sorted(marks)))} of {table} are classes like others. If they mark "
            "missing labels, empty these cells and set data.skip_incomplete to true.",
            stacklevel=2,
        )
