"""Overrides of one item of a list: `--trainer.callbacks.1.init_args.patience=3`."""

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
    """Whether the type admits a list, alone or among others."""
    return any(getattr(member, "__origin__", member) in SEQUENCES for member in members_of(typehint))


class ListItemAction(argparse.Action):
    """Option whose name continues below a setting that may hold a list, such as `--trainer.callbacks.0.monitor`.

    jsonargparse applies such an option to the last item of a list, and knows no index. Here an index names the item,
    counted from 0; without one the list must not hold more than one item.

    Args:
        setting: jsonargparse's action of the whole setting.
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
        """Change one item of the list in `namespace`, or hand the option on where there is no list."""
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
        one = _holding(self.dest, [items[int(head)]] if rest else None)
        with _naming_the_item(self.dest, int(head)):
            if rest:
                self.setting(parser, one, values, f"{base}.{rest}")
            else:
                item = fit_to_type([_number(values)], getattr(self.setting, "_typehint", None))
                self.setting(parser, one, item, base)
        changed = [*items[: int(head)], *one[self.dest], *items[int(head) + 1 :]]
        namespace[self.dest] = changed


def merge_indexed(
    value: Any, key: str, current: Any, check: Callable[[Any, Namespace], Any], typehint: Any
) -> list[Any] | None:
    """Merge a mapping from indices to changes, as a configuration file gives it, into a list.

    Args:
        value: what the file gives, such as `{"0": {"init_args": {"temperature": 0.1}}}`.
        key: name of the setting.
        current: value of the setting so far.
        check: validates a list of one item over a namespace that holds the earlier item.
        typehint: type of the setting.

    Returns:
        The whole new list; None if `value` is not about items of a list.

    Raises:
        ArgumentError: an index out of range; no index although there are several items.
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
        ArgumentError: the setting holds no list, or no item of this index.
    """
    if not isinstance(current, list):
        found = "null" if current is None else "a single value"
        error = UserError(f"a list at {marked(key)}", found, f"Leave the index out, or set {marked(key)} to a list.")
        raise argparse.ArgumentError(None, str(error))
    if index >= len(current):
        last = len(current) - 1
        remedy = f"Write {marked(key + f'.{last}')} for the last item, or append one with {marked(key)}+."
        error = UserError(f"an index from 0 to {last} for {marked(key)}", str(index), remedy)
        raise argparse.ArgumentError(None, str(error))
    return current


def no_index(key: str, number: int, rest: str) -> UserError:
    """Return the error about a setting below a list of several items without an index."""
    end = f".{rest}" if rest else ""
    return UserError(
        f"an index for {marked(key)}, a list of {number} items",
        f"{marked(key + end)}",
        f"Write {marked(f'{key}.0{end}')} for the first item, {marked(f'{key}.{number - 1}{end}')} for the last.",
    )


def _holding(key: str, value: Any) -> Namespace:
    """Return a namespace with one setting, or an empty one without a value."""
    namespace = Namespace()  # type: ignore[no-untyped-call]
    if value is not None:
        namespace[key] = value
    return namespace


@contextmanager
def _naming_the_item(key: str, index: int) -> Iterator[None]:
    """Put the index into the name of the setting that jsonargparse complains about."""
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
    """Read a number of a list of numbers, so that the list is not one of texts."""
    try:
        return float(text) if "." in text or "e" in text.lower() else int(text)
    except (TypeError, ValueError):
        return text
