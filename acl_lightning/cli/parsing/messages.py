"""Error messages of the parser: one line with the innermost cause, the full name of the setting and a remedy."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

from acl_lightning.cli.parsing.values import SEQUENCES, members_of
from acl_lightning.errors import UserError

# An inner parser knows the name of a setting only from its class down. The name is put between these two characters, so
# that every outer parser can prepend its part.
_OPEN, _CLOSE = "\x01", "\x02"

#: Reasons of jsonargparse why a class cannot be used, the most specific first.
_CLASS_CAUSES = (
    r"No module named '[^'\n]+'",
    r"cannot import name [^\n]+",
    r"(?:partially initialized )?module '[^']+' has no attribute '\w+'",
    r"Import path (?:\S+ )?does not correspond to a subclass of \w+",
    r"Expected an instantiatable class, but \S+ is abstract",
)


def marked(key: str) -> str:
    """Return the name of a setting, marked so that outer parsers complete it."""
    return f"{_OPEN}{key}{_CLOSE}"


def user_error_behind(error: BaseException | None) -> UserError | None:
    """Return the `UserError` in the chain of causes of an exception; None where there is none."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def in_one_line(message: str) -> str:
    """Return a message without marks and line breaks."""
    return " ".join(re.sub(f"[{_OPEN}{_CLOSE}]", "", message).split())


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the most similar valid name, by the whole name or by its last part; None if none is similar."""
    names = list(names)
    similar = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    if similar:
        return similar[0]
    last_parts = {candidate.rpartition(".")[2]: candidate for candidate in reversed(names)}
    similar = difflib.get_close_matches(name.rpartition(".")[2], last_parts, n=1, cutoff=0.75)
    return last_parts[similar[0]] if similar else None


def explain(parser: argparse.ArgumentParser, message: str) -> str:
    """Return jsonargparse's message as one line, with marks around the names of settings.

    Args:
        parser: Parser that failed: of a command, or of the arguments of a class.
        message: Message of jsonargparse, of many lines for a union of types.
    """
    inner = re.search(rf"expected [^\n]*{_OPEN}[^\n]*", message)
    key_match = re.search(r'[Pp]arser key "([^"]+)"', message)
    key = key_match[1] if key_match else ""
    if inner:
        outer = f"{_OPEN}{key}.init_args." if key and f"{_OPEN}{key}" not in inner[0] else _OPEN
        return inner[0].replace(_OPEN, outer)
    unknown = re.search(
        r"unrecognized arguments: -*([^=\s]+)|Option '([^']+)' is not accepted|"
        r"Subcommand '(\w+)' does not accept option '([^']+)'",
        message,
    )
    if unknown:
        name = f"{unknown[3]}.{unknown[4]}" if unknown[3] else unknown[1] or unknown[2]
        return _unknown_setting(parser, name)
    linked = re.search(r'argument (\S+) --> (\S+): |Linked "([^"]+)" must be given via "([^"]+)"', message)
    if linked:
        return linked_setting(parser, linked[1] or linked[4], linked[2] or linked[3])
    action = find_setting(parser, key) if key else None
    if action is None or getattr(action, "_typehint", None) is None:
        return " ".join(message.split())
    return _wrong_value(action, key, message)


def linked_setting(parser: argparse.ArgumentParser, source: str, target: str) -> str:
    """Return the message about a setting that always follows from another setting.

    Args:
        parser: Parser with both settings.
        source: Name of the setting or of the attribute of the DataModule that determines the value.
        target: Setting that cannot be set.
    """
    is_setting = find_setting(parser, source) is not None
    remedy = f"Set {source} instead." if is_setting else "Omit it: it follows from data.task."
    return str(UserError(f"no value for {marked(target)}, which follows from {source}", "a value", remedy))


def find_setting(parser: argparse.ArgumentParser, key: str) -> argparse.Action | None:
    """Return the action of a setting, also of a subcommand (`fit.data.task`) or an item of a list (`callbacks.0`)."""
    key = re.sub(r"(?:\.\d+)+$", "", key)
    for action in parser._actions:
        if action.dest == key and not _is_help(action):
            return action
        if isinstance(action.choices, dict):
            command, _, rest = key.partition(".")
            named = command in action.choices
            inner_settings = (find_setting(inner, rest if named else key) for inner in action.choices.values())
            return next((setting for setting in inner_settings if setting is not None), None)
    return None


def settings(parser: argparse.ArgumentParser) -> list[str]:
    """Return the dotted names of all settings of a parser that can be set."""
    return [
        action.dest
        for action in parser._actions
        if action.option_strings and not _is_help(action) and not hasattr(action, "compute_fn")
    ]


def _is_help(action: argparse.Action) -> bool:
    return action.dest in {"help", "print_config", "==SUPPRESS=="} or action.dest.endswith(".help")


def _unknown_setting(parser: argparse.ArgumentParser, name: str) -> str:
    command, _, rest = name.partition(".")
    for action in parser._actions:
        if isinstance(action.choices, dict) and command in action.choices:
            return _unknown_setting(action.choices[command], rest)
    names = settings(parser)
    for action in parser._actions:
        if name == action.dest and hasattr(action, "compute_fn"):
            return linked_setting(parser, ", ".join(source[0] for source in action.source), name)  # type: ignore[attr-defined]
    close = nearest(name, names)
    group = name.rpartition(".")[0]
    siblings = [other for other in names if other.rpartition(".")[0] == group]
    siblings = siblings or list(dict.fromkeys(other.partition(".")[0] for other in names))
    known = f"Known settings: {', '.join(map(marked, siblings))}." if siblings else "Omit it: there are no settings."
    remedy = f"Did you mean {marked(close)}?" if close else known
    return str(UserError("the name of a setting", marked(name), remedy))


def _wrong_value(action: argparse.Action, key: str, message: str) -> str:
    """Return the message about a value that does not fit the type of its setting."""
    typehint = action._typehint  # type: ignore[attr-defined]
    values = re.findall(r"(?:Given value|Got value): (.*)", message)
    value = values[-1].strip() if values else "another value"
    nested = re.match(r"NestedArg\(key='([^']*)', val='?(.*?)'?\)$", value)
    cause = next((match[0] for pattern in _CLASS_CAUSES if (match := re.search(pattern, message))), None)
    classes = [member for member in _flat(typehint) if isinstance(member, type) and _is_ours_to_choose(member)]
    if classes and (cause or re.search(r"dot import path|import path format|Not a valid subclass|class_path", message)):
        culprit = re.search(r"Problem with given class_path '([^']+)'|dot import path string: (\S+)", message)
        value = (culprit[1] or culprit[2]) if culprit else value
        return _wrong_class(classes, key, "its setting only" if nested else value, cause)
    if nested:
        key, value = f"{key}.{nested[1]}", nested[2]
    texts = [str(item) for member in _flat(typehint) if get_origin(member) is Literal for item in get_args(member)]
    close = nearest(value, texts)
    remedy = f"Did you mean {close}?" if close else f"Set {marked(key)} to {_default(action, texts)}."
    return str(UserError(f"{type_text(typehint)} for {marked(key)}", value, remedy))


def _default(action: argparse.Action, texts: list[str]) -> str:
    """Return a valid value for a remedy."""
    members = members_of(action._typehint)  # type: ignore[attr-defined]
    if action.default is None:
        return "null (the default) or a value of this type" if type(None) in members else [*texts, "a value"][0]
    return f"{action.default} (the default) or another value of this type"


def _wrong_class(classes: list[type], key: str, value: str, cause: str | None) -> str:
    """Return the message about a class that cannot be imported or that a setting does not accept."""
    known = sorted({name for base in classes for name in _subclass_names(base)})
    close = nearest(value.rpartition(".")[2], known)
    expected = f"the name of a class ({', '.join(base.__name__ for base in classes)}) for {marked(key)}"
    reason = f"{value} ({cause})" if cause and "abstract" not in cause else value
    if cause and "No module named" in cause and not close:
        remedy = f"Install the package, or set {marked(key)} to one of: {', '.join(known)}."
    elif close:
        remedy = f"Did you mean {close}?"
    else:
        remedy = f"Set {marked(key)} to one of: {', '.join(known) or 'the full path of a class'}."
    return str(UserError(expected, reason, remedy))


def _subclass_names(base: type) -> Iterator[str]:
    """Yield the names of the imported, public, concrete subclasses of a class."""
    child: type
    for child in base.__subclasses__():
        if not getattr(child, "__abstractmethods__", None) and not child.__name__.startswith("_"):
            yield child.__name__
        yield from _subclass_names(child)


def _is_ours_to_choose(member: type) -> bool:
    return member not in {int, float, bool, str, type(None)} and not issubclass(member, int | str)


def _flat(typehint: Any) -> list[Any]:
    """Return the members of a union and those of the items of its lists."""
    flat: list[Any] = []
    for member in members_of(typehint):
        is_list = get_origin(member) in SEQUENCES
        flat += [part for item in get_args(member) for part in _flat(item)] if is_list else [member]
    return list(dict.fromkeys(flat))


def type_text(typehint: Any) -> str:
    """Return a type in words: `an integer or null`, `one of hub, local, synthetic`."""
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    texts, literals = [], []
    for member in members_of(typehint):
        if get_origin(member) is Literal:
            literals += [str(item) for item in get_args(member)]
        elif get_origin(member) in SEQUENCES and get_args(member):
            texts.append(f"a list (each item {type_text(get_args(member)[0])})")
        elif member in names:
            texts.append(names[member])
        else:
            texts.append(str(getattr(member, "__name__", member)).replace("typing.", ""))
    if literals:
        texts.insert(0, f"one of {', '.join(dict.fromkeys(literals))}")
    return " or ".join(dict.fromkeys(texts))
