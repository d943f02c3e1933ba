"""Values of cells as texts, class labels and numbers."""

from __future__ import annotations

import json
import math
import re

from acl_lightning.data.tables.layout import multi_label
from acl_lightning.errors import UserError
from acl_lightning.table_files.base import Cell

#: A decimal number without digit separators, in ASCII.
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_missing(value: Cell) -> bool:
    """Return whether a cell is empty: null, or a text of white space only."""
    return value is None or (isinstance(value, str) and not value.strip()) or (value != value)  # noqa: PLR0124 - NaN


def text_of(value: Cell, place: str) -> str:
    """Return the text in a cell.

    Args:
        value: The cell.
        place: Table, line and column, for the message.

    Raises:
        UserError: The cell holds something else than text.
    """
    if isinstance(value, str):
        return value
    raise UserError(
        f"a text in {place}",
        f"{_kind(value)} {_shown(value)}",
        "Set data.text to a column of texts, or quote the value.",
    )


def label_of(value: Cell, place: str) -> str:
    """Return the name of the class in a cell: a text as it is written, an integer in decimal, `true` or `false`.

    Args:
        value: The cell.
        place: Table, line and column, for the message.

    Raises:
        UserError: The cell holds a number with a fraction, several labels, or an object.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        raise float_labels(repr(value), place)
    if isinstance(value, list | tuple | set):
        raise multi_label(f"{_shown(value)} in {place}")
    raise UserError(f"a label in {place}", f"{_kind(value)} {_shown(value)}", "Use texts or integers as labels.")


def number_of(value: Cell, place: str) -> float:
    """Return the finite number in a cell, the label of a regression.

    Args:
        value: The cell.
        place: Table, line and column, for the message.

    Raises:
        UserError: The cell holds something else.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
        return float(value)
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()) and _is_finite(float(value)):
        return float(value)
    if isinstance(value, list | tuple | set):
        raise multi_label(f"{_shown(value)} in {place}")
    raise UserError(
        f"a number in {place}",
        f"{_kind(value)} {_shown(value)}",
        "Correct the row, or set data.regression to false for a classification.",
    )


def float_labels(value: str, place: str) -> UserError:
    """Return the error for numbers that are not integers, such as 0.5 and 1.0, where classes are expected."""
    return UserError(
        f"class labels (texts or integers) in {place}",
        f"the number {value}",
        "Set data.regression to true for a regression, or write the classes as integers (1, not 1.0). If texts such "
        "as 3.10 are names of classes, list them in data.label_names.",
    )


def looks_fractional(name: str) -> bool:
    """Return whether a label is a number that is not written as an integer."""
    return NUMBER.fullmatch(name.strip()) is not None and not re.fullmatch(r"[+-]?\d+", name.strip(), re.ASCII)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _kind(value: Cell) -> str:
    names = {str: "the text", bool: "the value", int: "the number", float: "the number", list: "the list"}
    return names.get(type(value), f"a {type(value).__name__}")


def _shown(value: Cell) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
