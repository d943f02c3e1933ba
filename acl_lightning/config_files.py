"""Configuration files of `--config`: search path, files that a file includes, and checks before a parser reads them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acl_lightning.errors import UserError
from acl_lightning.legacy import FILES

_PACKAGE = Path(__file__).parent

#: Key of a configuration file with the files that it includes.
INCLUDED = "config"


def shipped_directory() -> Path:
    """Return the directory of the shipped configurations: in the installed package, or beside it in a clone."""
    places = (_PACKAGE / "conf", _PACKAGE.parent / "conf")
    return next((place for place in places if (place / "quickstart.yaml").is_file()), places[0])


@dataclass(frozen=True)
class ConfigurationFile:
    """Configuration file, or a configuration as text.

    Attributes:
        source: Path of the file; a configuration as JSON or YAML where there is no file.
        content: Settings in the file without the key `config`; None where `source` is not the path of a regular file.
        complete: Whether the file has no key `config`, so that a parser can read it as it is.
    """

    source: str
    content: dict[str, Any] | None
    complete: bool = True


def configuration_files(text: str) -> list[ConfigurationFile]:
    """Return a configuration file and the files that it includes, in the order in which their settings apply.

    A file includes others with the key `config`, a name or a list of names at its top level. They are found as on the
    command line (`find_configuration`) and apply before the other keys of the file, which therefore win. Included files
    may include others.

    Args:
        text: Value of `--config`, or of the key `config`.

    Raises:
        UserError: See `find_configuration`; or a file includes itself, or its key `config` is not a name or a list.
    """
    return _expanded(text, ())


def _expanded(text: str, outer: tuple[str, ...]) -> list[ConfigurationFile]:
    source, content = find_configuration(text)
    written_out = _written_out(text) if content is None else None
    if isinstance(written_out, list):
        return _all_expanded(_names(written_out, source), outer)
    if INCLUDED not in (content or written_out or {}):
        return [ConfigurationFile(source, content)]
    path = source if content is None else str(Path(source).resolve())
    content = content or written_out or {}
    if path in outer:
        raise UserError(
            "configuration files that do not include themselves",
            " -> ".join([*outer[outer.index(path) :], path]),
            f"Remove the key {INCLUDED} from one of them.",
        )
    names = _names(content[INCLUDED], source)
    own = {key: value for key, value in content.items() if key != INCLUDED}
    included = _all_expanded(names, (*outer, path))
    return [*included, ConfigurationFile(source, own, complete=False)] if own else included


def _all_expanded(names: list[str], outer: tuple[str, ...]) -> list[ConfigurationFile]:
    return [file for name in names for file in _expanded(name, outer)]


def _names(value: Any, source: str) -> list[str]:
    """Return the value of the key `config` as a list."""
    names = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(
            f"the name of a configuration file, or a list of names, for {INCLUDED} in {source}",
            str(value),
            f"Set {INCLUDED} to a name such as objective/acl.yaml, or to [objective/acl.yaml, FILE].",
        )
    return names


def _written_out(text: str) -> dict[str, Any] | list[Any] | None:
    """Return a configuration or a list of names that is written on the command line, as agents do; None for others."""
    if text[:1] not in {"{", "["}:
        return None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None  # jsonargparse explains the mistake
    return content if isinstance(content, dict | list) else None


def find_configuration(text: str) -> tuple[str, Any]:
    """Return the path of a configuration file and its content.

    An existing path takes precedence. Otherwise `fit/glue.yaml` and `conf/fit/glue.yaml` name the file that is shipped
    with the program.

    Args:
        text: Value of `--config`: a path, or a configuration as JSON or YAML.

    Returns:
        The path and the mapping in the file; `text` and None where it is not the path of a regular file.

    Raises:
        UserError: The file does not exist, is a directory, is not in UTF-8, has a syntax error, or holds no mapping.
    """
    if "://" in text or text.lstrip()[:1] in {"{", "["} or "\n" in text or ": " in text:
        return text, None
    path = Path(text).expanduser()
    if not path.exists():
        path = _shipped(text)
    if path.is_dir():
        raise UserError("a configuration file for --config", f"the directory {path}", _example())
    if not path.is_file():
        return text, None  # a pipe can be read only once
    return str(path), _content(path)


def _shipped(text: str) -> Path:
    names = sorted(path.relative_to(shipped_directory()).as_posix() for path in shipped_directory().rglob("*.yaml"))
    name = Path(text).as_posix().removeprefix("./").removeprefix("conf/")
    name = FILES.get(name, name)
    if name in names:
        return shipped_directory() / name
    close = difflib.get_close_matches(name, names, n=1)
    remedy = f"Did you mean --config={close[0]}, which is shipped?" if close else _example()
    raise UserError("an existing configuration file for --config", f"no file {text}", remedy)


def _example() -> str:
    return "Set --config to a YAML or JSON file, or to the name of a shipped file, such as --config=fit/glue.yaml."


def _content(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            "a configuration file in YAML or JSON, encoded in UTF-8",
            f"byte {error.start} of {path} that is not UTF-8",
            "Set --config to a text file, such as RUN/config.yaml; a checkpoint belongs to --ckpt_path.",
        ) from error
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(
            f"YAML or JSON in {path}", f"{error.problem or error.context}{line}", f"Correct the syntax of {path}."
        ) from error
    except yaml.YAMLError as error:
        raise UserError(
            f"YAML or JSON in {path}", " ".join(str(error).split()), "Set --config to a text file."
        ) from error
    if not isinstance(content, dict):
        kind = "an empty file" if content is None else f"a {type(content).__name__}"
        raise UserError(
            f"settings such as `data: {{task: rte}}` in {path}", kind, "Add a setting to the file, or omit --config."
        )
    return content


def keys_of(content: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every key in nested mappings, inner nodes included."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield f"{prefix}{name}"
            yield from keys_of(value, f"{prefix}{name}.")
