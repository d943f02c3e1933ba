"""Labels of the input, for the measured quality."""

from __future__ import annotations

import math
from collections.abc import Sequence

from acl_lightning.errors import UserError
from acl_lightning.table_files.base import Cell

#: Class index of a row without a label in data sets of the hub.
UNLABELLED = -1


def gold_label(value: Cell, label_names: Sequence[str], place: str) -> int | float | None:
    """Return the class index, or the value for a regression, in a cell.

    Args:
        value: Name of a class, or its index where no class has this name; for a regression a number. None, an empty
            text, NaN and the index -1 stand for a row without a label.
        label_names: Names of the classes; empty for a regression.
        place: Column, file and row, for the message.

    Raises:
        UserError: There is no class of this name or index, or the value is not a number.

    >>> gold_label("no", ["no", "yes"], "line 1"), gold_label("1", ["no", "yes"], "line 2")
    (0, 1)
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if value is None or not text.strip() or value != value:  # noqa: PLR0124 - NaN
        return None
    if not label_names:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
        raise UserError(f"a number in {place}", f"{text!r}", "Correct the row, or set --label to a column of numbers.")
    if text in label_names:
        return label_names.index(text)
    index = int(text) if text.lstrip("-").isascii() and text.lstrip("-").isdigit() else len(label_names)
    if index == UNLABELLED:
        return None
    if 0 <= index < len(label_names):
        return index
    raise UserError(
        f"a label among {', '.join(label_names)} in {place}",
        f"{text!r}",
        "Correct the row, or set --label to the column with the classes of the package.",
    )
