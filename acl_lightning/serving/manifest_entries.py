"""Check of the entries of `manifest.json`: types, ranges and lengths."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from acl_lightning.errors import UserError

#: Content of a manifest in plain JSON types.
Content = Mapping[str, object]

#: Variants of the graphs.
VARIANTS = ("row_first", "whole")

REMEDY = "Copy the package again, or write it again with `export RUN --out DIR --format onnx`."


@dataclass(frozen=True)
class Entry:
    """What an entry must be.

    Attributes:
        expected: Description, for the message.
        holds: Whether a value is allowed, given the content of the whole manifest (for an operating
            point: its own content and `exit_layers`).
        optional: Whether the entry may be missing or null.
    """

    expected: str
    holds: Callable[[object, Content], bool]
    optional: bool = False


def _is_integer(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_strings(value: object, least: int = 0, most: float = math.inf) -> bool:
    return isinstance(value, list) and least <= len(value) <= most and all(isinstance(name, str) for name in value)


def _are_layers(value: object, content: Content) -> bool:
    """Whether a value lists layers from 1 to the depth, in ascending order."""
    depth = content.get("depth")
    if not isinstance(value, list) or not value or not all(_is_integer(layer, 1) for layer in value):
        return False
    return value == sorted(set(value)) and isinstance(depth, int) and value[-1] <= depth


def _are_segments(value: object, content: Content) -> bool:
    """Whether a value has a file name per exit for both variants."""
    layers = content.get("exit_layers")
    if not isinstance(value, dict) or not isinstance(layers, list):
        return False
    return all(_are_strings(value.get(variant), len(layers), len(layers)) for variant in VARIANTS)


def _are_temperatures(value: object, content: Content) -> bool:
    layers = content.get("exit_layers")
    if not isinstance(value, list) or not isinstance(layers, list) or len(value) != len(layers):
        return False
    return all(_is_number(number) and number > 0 for number in value)


def _is_criterion(value: object, content: Content) -> bool:
    settings = value.get("settings") if isinstance(value, dict) else 0
    return isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(settings, dict | None)


def _is_object(value: object, content: Content) -> bool:
    return isinstance(value, dict)


def _are_objects(value: object, content: Content) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values())


_TEMPERATURES = Entry("a positive number per exit", _are_temperatures, optional=True)

#: Entries that a session reads. Others are for people and monitoring.
ENTRIES: Mapping[str, Entry] = {
    "files": Entry("size and checksum by file name", _are_objects),
    "depth": Entry("a number of layers", lambda value, _: _is_integer(value, 1)),
    "exit_layers": Entry("ascending layers from 1 to the depth", _are_layers),
    "segments": Entry(f"a file per exit for {' and '.join(VARIANTS)}", _are_segments),
    "inputs": Entry("names of inputs", lambda value, _: _are_strings(value, 1)),
    "text_columns": Entry("one or two names", lambda value, _: _are_strings(value, 1, 2)),
    "max_length": Entry("a number of tokens", lambda value, _: _is_integer(value, 1)),
    "pad_token_id": Entry("a token id", lambda value, _: _is_integer(value, 0)),
    "label_names": Entry("names of the classes", lambda value, _: _are_strings(value), optional=True),
    "operating_points": Entry("operating points by name", _are_objects, optional=True),
    "full_depth": Entry("measurements at full depth", _is_object, optional=True),
    "recommended_point": Entry("a name", lambda value, _: isinstance(value, str), optional=True),
    "temperatures": _TEMPERATURES,
}

#: Entries of an operating point.
POINT_ENTRIES: Mapping[str, Entry] = {
    "criterion": Entry("name and settings of a criterion", _is_criterion),
    "threshold": Entry("a finite number", lambda value, _: _is_number(value)),
    "temperatures": _TEMPERATURES,
    "measured": Entry("measurements by name", _is_object, optional=True),
    "validation": Entry("measurements by name", _is_object, optional=True),
}


def check_entries(content: Content, entries: Mapping[str, Entry], place: str) -> None:
    """Raise `UserError` unless all entries are present and allowed; the message names the first that is not.

    Args:
        content: Manifest, or operating point.
        entries: Name -> what the entry must be.
        place: Where the entries are, for the message.
    """
    for name, entry in entries.items():
        value = content.get(name)
        if value is None and entry.optional:
            continue
        if name not in content:
            raise UserError(f"the entry {name!r} in {place}", "none", REMEDY)
        if not entry.holds(value, content):
            raise UserError(f"{entry.expected} as {name!r} in {place}", reprlib.repr(value), REMEDY)
