"""`config.yaml`: the resolved configuration of a run."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from acl_lightning.files import write_text_atomically
from acl_lightning.legacy import present_names
from acl_lightning.runs.names import CONFIG, config_name
from acl_lightning.runs.records.json_values import as_mapping
from acl_lightning.runs.records.reading import reading

REMEDY = "Name a directory that `fit` wrote."


def read_config(directory: str | os.PathLike[str], remedy: str = REMEDY) -> dict[str, Any]:
    """Return the configuration of a run, with present names in place of those of earlier versions.

    Args:
        directory: Run directory.
        remedy: Last sentence of the error.

    Raises:
        MissingFile: There is no `config.yaml`.
        UserError: It cannot be read, or is damaged.
    """
    path = Path(directory) / CONFIG
    with reading(path, "the configuration of a run", remedy):
        content = as_mapping(yaml.safe_load(path.read_text(encoding="utf-8")), "the file")
        return present_names(content)[0]


def write_config(directory: Path, command: str, text: str) -> None:
    """Write the resolved configuration of a command, atomically. An earlier file with another content is renamed.

    Args:
        directory: Run directory.
        command: Name of the command.
        text: Configuration as YAML.
    """
    path = directory / config_name(command)
    if path.exists() and path.read_bytes() != text.encode("utf-8"):
        path.replace(_unused(path))
    write_text_atomically(path, text)


def _unused(path: Path) -> Path:
    """Return `config-1.yaml` for `config.yaml`, or the next number that is free."""
    return next(free for n in count(1) if not (free := path.with_stem(f"{path.stem}-{n}")).exists())
