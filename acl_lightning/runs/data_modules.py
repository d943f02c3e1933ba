"""Class of the DataModule that a configuration names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from acl_lightning.errors import UserError

if TYPE_CHECKING:
    from acl_lightning.data import TaskDataModule, TextDataModule
    from acl_lightning.data.images import ImageDataModule

#: Key of a configuration that names the class; a configuration without it is one of GLUE.
DATA_MODULE = "data_module"
#: Class of a configuration without the key.
DEFAULT_DATA_MODULE = "acl_lightning.data.GLUEDataModule"


def data_module_class(name: str, *, only_trusted: bool) -> type[TaskDataModule]:
    """Return the class of a DataModule.

    Args:
        name: Its full path, or the bare name of a class in `acl_lightning.data`.
        only_trusted: Whether to import classes of this package and those that `--trust` names only, because the
            configuration is that of a run, which may come from another person.

    Raises:
        UserError: There is no such class, or it is not trusted.
    """
    from acl_lightning.data import TaskDataModule
    from acl_lightning.runs.trust import foreign_class, is_allowed  # imports jsonargparse, without which `serve` runs

    path = name if "." in name else f"acl_lightning.data.{name}"
    if only_trusted and not is_allowed(path):
        raise foreign_class(path)
    module, _, attribute = path.rpartition(".")
    try:
        named = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise _unknown(path, str(error)) from error
    if not (isinstance(named, type) and issubclass(named, TaskDataModule)):
        raise _unknown(path, "not a subclass")
    return named


def text_data(data: TaskDataModule, run: Path) -> TextDataModule:
    """Return the data module of a run on texts.

    Raises:
        UserError: It is a data module of images, or a class of the user's that is not based on `TextDataModule`.
    """
    from acl_lightning.data import TextDataModule

    if isinstance(data, TextDataModule):
        return data
    raise UserError(
        "a run on texts",
        f"{run}, whose data module {type(data).__name__} has no tokenizer",
        "Load the model of the run with acl_lightning.load_run instead.",
    )


def image_data(data: TaskDataModule) -> ImageDataModule | None:
    """Return the data module of a run on images; None for any other."""
    from acl_lightning.data.images import ImageDataModule

    return data if isinstance(data, ImageDataModule) else None


def _unknown(path: str, reason: str) -> UserError:
    return UserError(
        f"a subclass of acl_lightning.data.TaskDataModule for {DATA_MODULE}",
        f"{path} ({reason})",
        f"Set {DATA_MODULE} to GLUEDataModule, TableDataModule or the full path of a class.",
    )
