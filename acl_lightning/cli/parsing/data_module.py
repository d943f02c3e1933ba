"""Class of the DataModule that a command line names, found before the parser is built for its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from acl_lightning.cli.parsing.config_files import find_configuration
from acl_lightning.errors import UserError
from acl_lightning.runs.data_modules import DATA_MODULE


def named_data_module(arguments: Sequence[str]) -> str | None:
    """Return the last value of `data_module` in the options and configuration files of a command line, or None.

    Files that do not exist or are malformed are left to the parser, which refuses them.

    Args:
        arguments: Arguments of the program, without its own name.
    """
    name: str | None = None
    remaining = iter(arguments)
    for argument in remaining:
        option, equals, value = argument.partition("=")
        if option not in {"--config", "-c", f"--{DATA_MODULE}"}:
            continue
        value = value if equals else next(remaining, "")
        if option == f"--{DATA_MODULE}":
            name = value
        else:
            name = _in_configuration(value) or name
    return name


def _in_configuration(text: str) -> str | None:
    try:
        path, content = find_configuration(text)
        if content is None:
            content = _inline(path)
    except UserError:
        return None
    named = content.get(DATA_MODULE) if isinstance(content, dict) else None
    return named if isinstance(named, str) else None


def _inline(text: str) -> Any:
    """Return a configuration that is written on the command line itself."""
    if text.lstrip()[:1] not in {"{", "["} and ": " not in text:
        return None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
