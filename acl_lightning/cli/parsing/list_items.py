"""Options that change an item of a list: `--trainer.callbacks.1.init_args.patience=3`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jsonargparse import Namespace

from acl_lightning.cli.parsing.messages import marked
from acl_lightning.cli.parsing.values import SEQUENCES, fit_to_type, members_of
from acl_lightning.errors import UserError


def takes_a_list(typehint: Any) -> bool:
    """Return whether a type admits a list, alone or as a member of a union."""
    return any(getattr(member, "__origin__", member) in SEQUENCES for member in members_of(typehint))


class ListItemAction(argparse.Action):
    """Option whose name continues below a setting that may hold a list, such as `--trainer.callbacks.0.monitor`.

    jsonargparse applies the option to the last item of a list and has no index. Here the index of the item, counted
    from 0, is part of the name; without an index the list must not have more than one item.

    Args:
        setting: Action of jsonargparse for the whole setting.
    """

    def __init__(self, setting: argparse.Action) -> None:
        super().__init__(setting.option_strings, setting.dest, nargs=setting.nargs, default=setting.default)
        self.setting = setting

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Change an item of the list in `namespace`; where there is no list, apply jsonargparse's action."""
        option = str(option_string)
        base = next(name for name in self.option_strings if option.startswith(f"{name}."))
        head, _, rest = option.removeprefix(f"{base}.").partition(".")
        current = namespace.get(self.dest)
        if not head.isdigit():
            if isinstance(current, list) and len(current) > 1:
                raise argparse.ArgumentError(None, str(no_index(self.dest, len(current), f"{head}.{rest}".strip("."))))
            self.setting(parser, namespace, values, option)
            return
        items = checked_items(self.dest, current, int(head))
        changed = _holding(self.dest, [items[int(head)]] if rest else None)
        with _naming_the_item(self.dest, int(head)):
            if rest:
                self.setting(parser, changed, values, f"{base}.{rest}")
            else:
                item = fit_to_type([_number(values)], getattr(self.setting, "_typehint", None))
                self.setting(parser, changed, item, base)
        namespace[self.dest] = [*items[: int(head)], *changed[self.dest], *items[int(head) + 1 :]]


def merge_indexed(
    value: Any, key: str, current: Any, check: Callable[[Any, Namespace], Any], typehint: Any
) -> list[Any] | None:
    """Merge a mapping from indices to changes, as in a configuration file, into a list.

    Args:
        value: Value in the file, such as `{"0": {"init_args": {"temperature": 0.1}}}`.
        key: Name of the setting.
        current: Value of the setting before the file.
        check: Validates a list with one item, in a namespace with the earlier item.
        typehint: Type of the setting.

    Returns:
        The whole new list; None where `value` does not change items of a list.

    Raises:
        ArgumentError: An index is out of range, or there is no index although the list has several items.
    """
    if not isinstance(value, dict | Namespace) or not takes_a_list(typehint):
        return None
    changes: dict[str, Any] = value.as_dict() if isinstance(value, Namespace) else value
    if not changes or not all(str(name).isdigit() for name in changes):
        if isinstance(current, list) and len(current) > 1 and "class_path" not in value:
            raise argparse.ArgumentError(None, str(no_index(key, len(current), _first_path(value))))
        return None
    for index, change in sorted(((int(name), change) for name, change in changes.items()), key=lambda pair: pair[0]):
        items = checked_items(key, current, index)
        with _naming_the_item(key, index):
            item = check([change], _holding(key, [items[index]]))
        current = [*items[:index], *item, *items[index + 1 :]]
    return list(current)


def checked_items(key: str, current: Any, index: int) -> list[Any]:
    """Return the current items of a list.

    Raises:
        ArgumentError: The value of the setting is not a list, or the index is out of range.
    """
    if not isinstance(current, list):
        kind = "null" if current is None else "a single value"
        error = UserError(f"a list at {marked(key)}", kind, f"Omit the index, or set {marked(key)} to a list.")
        raise argparse.ArgumentError(None, str(error))
    if index >= len(current):
        last = len(current) - 1
        remedy = f"Write {marked(key + f'.{last}')} for the last item, or append an item with {marked(key)}+."
        error = UserError(f"an index from 0 to {last} for {marked(key)}", str(index), remedy)
        raise argparse.ArgumentError(None, str(error))
    return current


def no_index(key: str, number: int, rest: str) -> UserError:
    """Return the error for an option without an index where the list has several items."""
    end = f".{rest}" if rest else ""
    return UserError(
        f"an index for {marked(key)}, a list of {number} items",
        f"{marked(key + end)}",
        f"Write {marked(f'{key}.0{end}')} for the first item, {marked(f'{key}.{number - 1}{end}')} for the last.",
    )


def _holding(key: str, value: Any) -> Namespace:
    """Return a namespace with one setting; empty where the value is None."""
    namespace = Namespace()  # type: ignore[no-untyped-call]
    if value is not None:
        namespace[key] = value
    return namespace


@contextmanager
def _naming_the_item(key: str, index: int) -> Iterator[None]:
    """Add the index to the name of the setting in an error of jsonargparse."""
    try:
        yield
    except TypeError as error:
        name = f'Parser key "{key}"'
        raise TypeError(str(error).replace(name, f'{name[:-1]}.{index}"')) from error


def _first_path(value: Any) -> str:
    """Return the dotted name of the first entry of nested mappings."""
    names = []
    while isinstance(value, dict | Namespace) and value:
        value = value.as_dict() if isinstance(value, Namespace) else value
        name, value = next(iter(value.items()))
        names.append(str(name))
    return ".".join(names)


def _number(text: Any) -> Any:
    """Return a text as a number where it is one, so that a list of numbers keeps its type."""
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except (TypeError, ValueError):
        return text
