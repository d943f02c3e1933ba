"""Class of the DataModule that a command line names, found before the parser is built for its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from acl_lightning.config_files import ConfigurationFile, configuration_files
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
            continue
        for content in _contents(value):
            named = content.get(DATA_MODULE) if isinstance(content, dict) else None
            name = named if isinstance(named, str) else name
    return name


def _contents(text: str) -> list[Any]:
    """Return the contents of a configuration and of the files that it includes."""
    try:
        return [_inline(file) if file.content is None else file.content for file in configuration_files(text)]
    except (UserError, yaml.YAMLError):
        return []


def _inline(file: ConfigurationFile) -> Any:
    """Return a configuration that is written on the command line itself; None for a file that is read only once."""
    text = file.source
    return yaml.safe_load(text) if text.lstrip()[:1] == "{" or ": " in text else None
