"""Values in the notation of Python, as W&B sweep agents write them: `None`, `500.0` for an int, `['a']`."""

from __future__ import annotations

import ast
import collections.abc
import types
import warnings
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

#: Largest float up to which every integer has an exact representation.
LARGEST_EXACT = 2.0**53

SEQUENCES = {list, tuple, set, frozenset, *(getattr(collections.abc, name) for name in ("Sequence", "MutableSequence"))}
SEQUENCES |= {collections.abc.Iterable, collections.abc.Collection}
MAPPINGS = {dict, collections.abc.Mapping, collections.abc.MutableMapping}


def fit_to_type(value: Any, typehint: Any) -> Any:
    """Return `value` converted to its type where the conversion is unambiguous; else return it unchanged.

    - `None` becomes null wherever the type admits null, also for an optional text: `--run_dir=None` is
      `--run_dir=null`. The setting cannot have the text `None`.
    - A float without a fractional part becomes an int where the type admits int, but neither float nor text.
    - Lists, tuples and dictionaries in Python's notation are read, and the two rules are applied to their items.

    Args:
        value: Text from the command line, or value from a configuration file.
        typehint: Type annotation of the setting.
    """
    members = members_of(typehint)
    if any(member in (Any, object) for member in members):
        return value
    literal = _python_literal(value) if isinstance(value, str) and value not in _texts(members) else value
    if isinstance(literal, list | dict) and not any(_item_types(member) for member in members):
        return value
    fitted = _fit(literal, members)
    keep_text = repr(fitted) == repr(literal) and (str in members or not isinstance(literal, list | dict))
    return value if keep_text else fitted


def members_of(typehint: Any) -> list[Any]:
    """Return the members of a union, nested unions included; a list with the type itself for other types."""
    origin = get_origin(typehint)
    if origin in (Union, types.UnionType):
        return [member for argument in get_args(typehint) for member in members_of(argument)]
    if origin is Annotated:
        return members_of(get_args(typehint)[0])
    return [typehint]


def _fit(value: Any, members: list[Any]) -> Any:
    if isinstance(value, str) and value == "None" and type(None) in members:
        return None
    if isinstance(value, float):
        return int(value) if _is_an_int(value, members) else value
    if isinstance(value, list):
        lists = [_fit_items(value, _item_types(member)) for member in members if _is_sequence(member)]
        return lists[0] if _agree(lists) else value
    if isinstance(value, dict):
        pairs = [get_args(member) for member in members if get_origin(member) in MAPPINGS and get_args(member)]
        mappings = [{key: _fit(item, members_of(pair[1])) for key, item in value.items()} for pair in pairs]
        return mappings[0] if _agree(mappings) else value
    return value


def _is_an_int(value: float, members: Iterable[Any]) -> bool:
    if not value.is_integer() or abs(value) > LARGEST_EXACT or float in members or str in members:
        return False
    ints = (isinstance(member, type) and issubclass(member, int) and member is not bool for member in members)
    return any(ints) or int(value) in [item for item in _literals(members) if type(item) is int]


def _literals(members: Iterable[Any]) -> list[Any]:
    return [item for member in members if get_origin(member) is Literal for item in get_args(member)]


def _texts(members: Iterable[Any]) -> list[str]:
    """Return the texts that are valid values without conversion."""
    enums = [member for member in members if isinstance(member, type) and issubclass(member, Enum)]
    names = [name for enum in enums for name in enum.__members__]
    return [*names, *(item for item in _literals(members) if isinstance(item, str))]


def _is_sequence(member: Any) -> bool:
    return get_origin(member) in SEQUENCES and bool(get_args(member))


def _item_types(member: Any) -> tuple[Any, ...]:
    """Return the types between the brackets of a container, () for every other type."""
    is_container = get_origin(member) in SEQUENCES | MAPPINGS
    return get_args(member) if is_container else ()


def _fit_items(items: list[Any], item_types: tuple[Any, ...]) -> list[Any]:
    fixed = len(item_types) == len(items) and Ellipsis not in item_types
    each = item_types if fixed else (item_types[0],) * len(items)
    return [_fit(item, members_of(kind)) for item, kind in zip(items, each, strict=True)]


def _agree(readings: list[Any]) -> bool:
    return bool(readings) and all(repr(reading) == repr(readings[0]) for reading in readings)


def _python_literal(text: str) -> Any:
    """Return the number, list or dictionary that a Python literal stands for; other texts are returned unchanged."""
    if not text.strip().startswith(tuple("+-.0123456789[({")):
        return text
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, int | float | list | dict) else text
