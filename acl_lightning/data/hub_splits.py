"""Splits of a data set of the Hugging Face hub, of a local directory in its layout, or of a saved data set."""

from __future__ import annotations

from pathlib import Path

import datasets
from datasets import Dataset, DatasetDict

from acl_lightning.errors import UserError

#: Files of a directory that `save_to_disk` of the library `datasets` wrote.
DICTIONARY, SINGLE = "dataset_dict.json", "state.json"


def is_saved(directory: Path) -> bool:
    """Return whether `save_to_disk` wrote a directory."""
    return (directory / DICTIONARY).is_file() or (directory / SINGLE).is_file()


def load_saved(directory: Path) -> Dataset | DatasetDict:
    """Load a directory of `save_to_disk`.

    Raises:
        UserError: It is damaged.
    """
    try:
        return datasets.load_from_disk(str(directory))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"an undamaged data set at {directory}", " ".join(str(error).split()), "Save the data set again."
        ) from error


def load_hub_splits(name: str, config: str | None, cache_dir: str | None, setting: str) -> DatasetDict:
    """Load all splits of a data set, from the hub, its cache or a local directory of files.

    Args:
        name: Id on the hub, or a directory in the layout of the hub: tables or class folders of images, and optionally
            a `README.md` that names configurations and splits.
        config: Name of the configuration; None: the default.
        cache_dir: Directory of downloads; None for the Hugging Face default.
        setting: Setting of the section `data` that names files instead, for the message.

    Raises:
        UserError: The data set is neither reachable nor cached, it has no such configuration, or it is malformed.
    """
    try:
        splits = datasets.load_dataset(str(Path(name).expanduser()), config, cache_dir=cache_dir)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetGenerationError) as error:
        reason = error.__cause__ if isinstance(error, datasets.exceptions.DatasetGenerationError) else error
        raise UserError(
            f"the data set {name} on the hub, in the cache or in a directory",
            f"{type(reason).__name__}: {next(iter(str(reason).splitlines()), '')}",
            "Fill the Hugging Face cache once while online, check data.dataset and data.dataset_config, or set "
            f"data.{setting}.",
        ) from error
    assert isinstance(splits, DatasetDict)  # no split and no streaming was asked for
    return splits
