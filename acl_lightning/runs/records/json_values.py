"""Values of JSON files: checked types, and numbers that JSON can express."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file. Use it within `reading`.

    Raises:
        TypeError: The file contains something other than an object.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    return as_mapping(content, "the file")


def as_mapping(value: object, name: str) -> dict[str, Any]:
    """Return `value` if it is a dictionary with text keys; `name` is for the message.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{name} is not an object")
    return value


def finite(value: Any) -> Any:
    """Return `value` with None for every number that JSON cannot express, in dictionaries and lists too."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
