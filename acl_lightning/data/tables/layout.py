"""Columns of a table that hold texts, labels and ids."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from acl_lightning.errors import UserError

#: Number of columns that a message lists, and of characters of a name.
LISTED, LISTED_CHARACTERS = 20, 40

#: Names that tokenised rows use themselves.
RESERVED = frozenset({"label", "difficulty", "input_ids", "token_type_ids", "attention_mask", "num_tokens"})


@dataclass(frozen=True)
class TableLayout:
    """Names of the columns that are read.

    Attributes:
        text: Names of one or two text columns.
        label: Name of the label column.
        row_id: Name of a column with a different value in every row; None without one.

    Raises:
        UserError: There is no text column, more than two, or the same column twice.
    """

    text: tuple[str, ...]
    label: str
    row_id: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.text) <= 2 or len(set(self.text)) < len(self.text):
            raise UserError(
                "one or two different text columns for data.text",
                ", ".join(self.text) or "none",
                "Set data.text to the name of a column, or to a list of two names: --data.text=[title,body].",
            )
        reserved = RESERVED & set(self.text)
        if reserved:
            raise UserError(
                f"a text column with another name than {', '.join(sorted(RESERVED))}",
                f"{', '.join(sorted(reserved))}",
                "Rename the column in the file.",
            )
        if self.label in self.text:
            raise UserError(
                "different columns for data.text and data.label",
                repr(self.label),
                "Set data.label to the label column.",
            )

    @property
    def required(self) -> tuple[str, ...]:
        """Names of all columns that are read from a labelled split."""
        return (*self.text, self.label, *([] if self.row_id is None else [self.row_id]))


def check_columns(
    required: Sequence[str], columns: Sequence[str], name: str, settings: Sequence[str], *, training: str | None = None
) -> None:
    """Check that a table has the columns that are read.

    Args:
        required: Names of the columns.
        columns: Names of the columns in the table.
        name: Name of the table.
        settings: Setting that names each required column, for the remedy.
        training: Name of the training table, which has these columns; None for the training table itself.

    Raises:
        UserError: A column is missing. The message lists the columns of the table and suggests the nearest name.
    """
    for column, setting in zip(required, settings, strict=True):
        if column in columns:
            continue
        if setting == "label" and column.startswith(("[", "(")):
            raise multi_label(f"data.label = {column}")
        remedy = f"Set data.{setting} to one of them, or data.column_names if the file has no header line."
        separators = [mark for mark in ";\t|" if len(columns) == 1 and mark in columns[0]]
        close = difflib.get_close_matches(column, columns, n=1, cutoff=0.5) or [
            other for other in columns if other.lower() == column.lower()
        ]
        if separators:
            remedy = f"Set data.delimiter to {separators[0]!r}."
        elif training is not None:
            remedy = "Give all files the same columns."
        elif close:
            remedy = f"Did you mean --data.{setting}={close[0]}?"
        raise UserError(
            f"a column {column!r} in {name}" + (f", as in {training}" if training else ""),
            f"the columns {_listed(columns)}",
            remedy,
        )


def _listed(columns: Sequence[str]) -> str:
    """Return the names of the first columns in one line."""
    names = [" ".join(column.split()) for column in columns[:LISTED]]
    shown = [name if len(name) <= LISTED_CHARACTERS else f"{name[: LISTED_CHARACTERS - 3]}..." for name in names]
    return ", ".join(shown) + (f" and {len(columns) - LISTED} more" if len(columns) > LISTED else "")


def multi_label(place: str) -> UserError:
    """Return the error for rows with several labels.

    Args:
        place: Where a list of labels was found.
    """
    return UserError(
        "a single label per row",
        f"several ({place})",
        "Multi-label classification is not supported: set data.label to a column with one label per row, or train one "
        "model per label.",
    )
