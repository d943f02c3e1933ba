"""Images of a data set of the Hugging Face hub, or of a directory that `save_to_disk` wrote."""

from __future__ import annotations

from pathlib import Path

import datasets
from datasets import ClassLabel, Dataset, DatasetDict

from acl_lightning.data.hub_splits import is_saved, load_hub_splits, load_saved
from acl_lightning.data.images.folders import ImageFormat
from acl_lightning.data.images.tables import ImageTable
from acl_lightning.errors import UserError


def load_image_splits(name: str, config: str | None, cache_dir: str | None) -> DatasetDict:
    """Load all splits of a data set.

    Args:
        name: Id on the hub, or directory in its layout or of `DatasetDict.save_to_disk`.
        config: Name of the configuration on the hub; None: the default.
        cache_dir: Directory of downloads; None for the Hugging Face default.

    Raises:
        UserError: The data set is neither reachable nor cached, or it has no split `train`.
    """
    directory = Path(name).expanduser()
    if is_saved(directory):
        loaded = load_saved(directory)
    else:
        loaded = load_hub_splits(name, config, cache_dir, "root to a folder of class folders")
    if not isinstance(loaded, DatasetDict) or "train" not in loaded:
        splits = ", ".join(loaded) if isinstance(loaded, DatasetDict) else "a single split"
        raise UserError(f"a split named train in {name}", splits, "Save a DatasetDict with the splits of the data.")
    return loaded


def hub_class_names(rows: Dataset, label: str) -> list[str]:
    """Return the names of the classes of a label column.

    Raises:
        UserError: There is no such column, or it is not a `ClassLabel`.
    """
    feature = rows.features.get(label)
    if not isinstance(feature, ClassLabel):
        columns = ", ".join(name for name, kind in rows.features.items() if isinstance(kind, ClassLabel)) or "none"
        raise UserError(
            f"a column of classes for data.label (the data set has: {columns})",
            repr(label),
            "Set data.label to one of them.",
        )
    names: list[str] = feature.names
    return names


def hub_table(rows: Dataset, image: str, label: str, image_format: ImageFormat) -> ImageTable:
    """Return the images of a split.

    Args:
        rows: Split of the data set.
        image: Name of the image column.
        label: Name of the label column.
        image_format: Form in which images are loaded.

    Raises:
        UserError: There is no such image column.
    """
    if not isinstance(rows.features.get(image), datasets.Image):
        columns = ", ".join(name for name, kind in rows.features.items() if isinstance(kind, datasets.Image)) or "none"
        raise UserError(
            f"a column of images for data.image (the data set has: {columns})",
            repr(image),
            "Set data.image to one of them.",
        )
    labels: list[int] = rows.select_columns([label])[:][label]
    return ImageTable(
        names=[str(row) for row in range(len(rows))],
        labels=labels,
        load=lambda row: image_format.tensor(rows[row][image]),
        content=f"{rows._fingerprint} {image_format}",
    )
