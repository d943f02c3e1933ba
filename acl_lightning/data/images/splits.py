"""Splits of images from each kind of source, and the validation split that is taken from training images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from datasets import DatasetDict

from acl_lightning.data.images.digits import DIGITS, digits
from acl_lightning.data.images.folders import ImageFormat, class_names, folder_table
from acl_lightning.data.images.hub import hub_class_names, hub_table, load_image_splits
from acl_lightning.data.images.tables import ImageTable
from acl_lightning.data.stratified import stratified_rows
from acl_lightning.errors import UserError


class ImageSplits(ABC):
    """Source of the splits `train` and, where they exist, `validation` and `test`."""

    @abstractmethod
    def class_names(self) -> list[str]:
        """Return the names of the classes, in the order of their indices."""

    @abstractmethod
    def load(self, names: Sequence[str]) -> dict[str, ImageTable]:
        """Return the splits that exist, with labels as indices of `names`."""

    def tables(self, names: Sequence[str], validation_share: float, seed: int) -> dict[str, ImageTable]:
        """Return the splits; without a validation split it is drawn from the training images, stratified by label.

        Args:
            names: Names of the classes.
            validation_share: Share of the training images in a validation split that is drawn.
            seed: Seed of the draw.

        Raises:
            UserError: There are too few images for a validation split.
        """
        tables = self.load(names)
        if "validation" in tables:
            return tables
        train = tables["train"]
        size = round(validation_share * len(train))
        if not 2 <= size < len(train):
            raise UserError(
                "at least 2 images for a validation split",
                f"{size} of {len(train)} training images",
                "Add images, or a folder named validation.",
            )
        held_out = stratified_rows(list(train.labels or []), size, seed)
        kept = sorted(set(range(len(train))) - set(held_out))
        return tables | {"train": train.select(kept), "validation": train.select(held_out)}


class FolderSplits(ImageSplits):
    """Folders `train`, `validation` and `test` with class folders, or class folders alone.

    Args:
        root: The folder.
        image_format: Form in which images are loaded.
        skip_unreadable: Whether images that do not open are left out.
    """

    def __init__(self, root: Path, image_format: ImageFormat, *, skip_unreadable: bool) -> None:
        self._format, self._skip_unreadable = image_format, skip_unreadable
        self._folders = {"train": root}
        if (root / "train").is_dir():
            paths = {split: root / split for split in ("train", "validation", "test")}
            self._folders = {split: path for split, path in paths.items() if path.is_dir()}

    def class_names(self) -> list[str]:
        """Return the names of the class folders of the training split, sorted."""
        return class_names(self._folders["train"])

    def load(self, names: Sequence[str]) -> dict[str, ImageTable]:
        """List the images of every split."""
        return {
            split: folder_table(path, names, self._format, skip_unreadable=self._skip_unreadable)
            for split, path in self._folders.items()
        }


class HubSplits(ImageSplits):
    """Splits of a data set of the hub, or of a saved one. It is loaded when it is needed.

    Args:
        name: Id or directory.
        config: Name of the configuration; None: the default.
        image: Name of the image column.
        label: Name of the label column.
        image_format: Form in which images are loaded.
        cache_dir: Directory of downloads.
    """

    def __init__(
        self, name: str, config: str | None, image: str, label: str, image_format: ImageFormat, cache_dir: str | None
    ) -> None:
        self._name, self._config, self._image, self._label = name, config, image, label
        self._format, self._cache_dir = image_format, cache_dir

    @cached_property
    def _loaded(self) -> DatasetDict:
        return load_image_splits(self._name, self._config, self._cache_dir)

    def class_names(self) -> list[str]:
        """Return the names of the classes of the label column."""
        return hub_class_names(self._loaded["train"], self._label)

    def load(self, names: Sequence[str]) -> dict[str, ImageTable]:
        """Return the splits `train`, `validation` and `test`."""
        kept = [split for split in ("train", "validation", "test") if split in self._loaded]
        return {split: hub_table(self._loaded[split], self._image, self._label, self._format) for split in kept}


class DigitSplits(ImageSplits):
    """Handwritten digits of scikit-learn, a single split.

    Args:
        image_format: Must be that of the digits, 8 x 8 pixels in grey.

    Raises:
        UserError: Another format.
    """

    def __init__(self, image_format: ImageFormat) -> None:
        if image_format != ImageFormat(size=8, channels=1):
            raise UserError(
                "data.root or data.dataset for images other than the handwritten digits of 8 x 8 grey pixels",
                f"neither, with {image_format.channels} channels of {image_format.size} pixels",
                "Set data.root to a folder of class folders, or data.image_size to 8 and data.channels to 1.",
            )

    def class_names(self) -> list[str]:
        """Return the ten digits."""
        return list(DIGITS)

    def load(self, names: Sequence[str]) -> dict[str, ImageTable]:
        """Return all digits as the training split."""
        return {"train": digits()}


def image_splits(
    root: str | None,
    dataset: str | None,
    dataset_config: str | None,
    image: str,
    label: str,
    image_format: ImageFormat,
    cache_dir: str | None,
    *,
    skip_unreadable: bool,
) -> ImageSplits:
    """Return the source that the settings of `ImageDataModule` name.

    Args:
        root: Folder of images.
        dataset: Id or directory of a data set; None: `root`, or the handwritten digits.
        dataset_config: Name of the configuration of `dataset`.
        image: Name of the image column of `dataset`.
        label: Name of the label column of `dataset`.
        image_format: Form in which images are loaded.
        cache_dir: Directory of downloads.
        skip_unreadable: Whether images in `root` that do not open are left out.

    Raises:
        UserError: Neither is set, and the format is not that of the digits.
    """
    if dataset is not None:
        return HubSplits(dataset, dataset_config, image, label, image_format, cache_dir)
    if root is not None:
        return FolderSplits(Path(root).expanduser(), image_format, skip_unreadable=skip_unreadable)
    return DigitSplits(image_format)
