"""Typed entries of a YAML file of a study. Each function returns an entry, or refuses one of another type.

Arguments: the entry, the file and the name of the entry, for the message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from acl_lightning.errors import UserError


def listed(value: object) -> list[object]:
    """Return the items of a list, or a list with the value."""
    return list(value) if isinstance(value, list | tuple) else [value]


def mapping(value: object, place: str, name: str) -> dict[str, object]:
    """Return a mapping with its keys as texts; an empty one for null."""
    return {str(key): item for key, item in any_mapping(value, place, name).items()}


def any_mapping(value: object, place: str, name: str) -> Mapping[object, object]:
    """Return a mapping; an empty one for null."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        refuse(place, f"a mapping at {name}", repr(value), f"Write `{name}:` and an indented KEY: VALUE below it")
    return value


def texts(value: object, place: str, name: str) -> tuple[str, ...]:
    """Return a list of different texts, or a single text as a list; an empty one for null."""
    items = () if value is None else listed(value)
    if not all(isinstance(item, str) for item in items) or len(set(map(str, items))) < len(items):
        refuse(place, f"different names at {name}", repr(value), f"Set {name}: [NAME, NAME]")
    return tuple(map(str, items))


def text(value: object, place: str, name: str) -> str | None:
    """Return a text or null."""
    if value is not None and not isinstance(value, str):
        refuse(place, f"a text at {name}", repr(value), f"Set {name}: TEXT")
    return value


def flag(value: object, place: str, name: str) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        refuse(place, f"true or false at {name}", repr(value), f"Set {name}: true")
    return value


def number(value: object, place: str, name: str, low: float, high: float) -> float:
    """Return a number above `low` and up to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
        refuse(place, f"a number above {low:g} and up to {high:g} at {name}", repr(value), f"Remove {name} (default)")
    return value


def refuse(place: str, expected: str, value: str, remedy: str) -> NoReturn:
    """Raise the error for an entry.

    Args:
        place: The file.
        expected: What the entry must be.
        value: What it is.
        remedy: Sentence without its full stop.

    Raises:
        UserError: Always.
    """
    raise UserError(f"{expected} in {place}", value, f"{remedy}.")
