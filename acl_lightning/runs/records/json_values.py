"""Values that were read from JSON files, with checked types."""

from __future__ import annotations

import json
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
