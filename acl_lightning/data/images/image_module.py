"""Lightning data module of images: settings, splits and loaders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from acl_lightning.data.images.folders import ImageFormat, folder_table
from acl_lightning.data.images.image_rows import EpochRowSampler, ImageRows
from acl_lightning.data.images.splits import image_splits
from acl_lightning.data.images.tables import ImageTable
from acl_lightning.data.protocol import SelectionProtocol, SelectionSource
from acl_lightning.data.split_module import SplitDataModule, at_least
from acl_lightning.data.tasks import SplitFile, TaskInfo
from acl_lightning.errors import UserError


class ImageDataModule(SplitDataModule[ImageRows]):
    """Images with classes: a folder of class folders, a data set of the hub, or scikit-learn's handwritten digits.

    A folder has the splits `train`, `validation` and `test` as subfolders, each with a folder per class; or only the
    class folders themselves, which are then the training split. Without a validation split a stratified share of the
    training images is the validation split; without a test split `test` runs over the validation split.

    A batch is a dictionary of tensors:

    - `pixel_values`: (B, channels, image_size, image_size) float32, normalised by `mean` and `std`;
    - `labels`: (B,) long; absent in a folder that is predicted;
    - `index`: (B,) long, row number in the split;
    - `selection`: (B,) bool, in the validation split only, see `GLUEDataModule`.

    Args:
        root: Folder of images. None: `dataset`, or the handwritten digits.
        dataset: Id of a data set on the hub, or directory in its layout or of `DatasetDict.save_to_disk`.
        image: Name of the image column of `dataset`.
        label: Name of the label column of `dataset`, a `ClassLabel`.
        predict: Folder of images that `predict` runs over, in any depth; None: the validation split.
        label_names: Names of the classes in the order of their indices. None: the class folders of the training split,
            sorted, or the names in `dataset`.
        image_size: Height and width in pixels that images are resized to; that of the backbone.
        channels: 1 (grey) or 3 (colour).
        mean: Mean of the values in [0, 1] of each channel, or one number for all.
        std: Standard deviation of the values of each channel, or one number for all.
        train_transforms: Augmentation of training images, in the order in which it is applied: modules that map an
            image (C, H, W), uint8, to an image of the same size, such as `RandomShift` or those of
            `torchvision.transforms.v2`. Their random numbers depend on `shuffle_seed`, epoch and row only.
        skip_unreadable: Whether images that do not open are left out with a warning instead of refused.
        validation_share: Share of the training images in the validation split without a validation split, up to 0.5.
        metrics: Metrics, the primary first.
        name: Name of the task. None: that of the folder or data set, or `digits`.
        batch_size: Number of training images per device and step.
        eval_batch_size: Number of images per device and step in evaluation and prediction.
        num_workers: Number of loader processes; 0 loads in the training process.
        seed: Seed of the validation split, the selection split and the training subset.
        shuffle_seed: Seed of order and augmentation of the training images; None for `seed`.
        train_rows: Number of training images, drawn with the labels' shares kept; None for all.
        dataset_config: Name of the configuration of `dataset`; None: the default.
        selection: Split that the selection rows are taken from: `validation` or `train`; see `SelectionProtocol`.
        selection_rows: Number of selection images with `selection="train"`; None for a tenth of the training images, at
            least 100 and at most 1000.
        cache_dir: Directory of downloads; None for the Hugging Face default.

    Raises:
        UserError: A setting is out of range, or the images or their classes are missing.
    """

    def __init__(
        self,
        root: str | None = None,
        dataset: str | None = None,
        image: str = "image",
        label: str = "label",
        predict: str | None = None,
        label_names: list[str] | None = None,
        image_size: int = 224,
        channels: int = 3,
        mean: list[float] | float = 0.5,
        std: list[float] | float = 0.5,
        train_transforms: list[nn.Module] | None = None,
        skip_unreadable: bool = False,
        validation_share: float = 0.2,
        metrics: list[str] | None = None,
        name: str | None = None,
        batch_size: int = 32,
        eval_batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        shuffle_seed: int | None = None,
        train_rows: int | None = None,
        dataset_config: str | None = None,
        selection: SelectionSource = "validation",
        selection_rows: int | None = None,
        cache_dir: str | None = None,
    ) -> None:
        at_least(1, image_size=image_size)
        at_least(0, seed=seed)
        if channels not in (1, 3):
            raise UserError("data.channels to be 1 (grey) or 3 (colour)", f"{channels}", "Set data.channels to 3.")
        if not 0 < validation_share <= 0.5:
            raise UserError(
                "data.validation_share above 0 and up to 0.5", f"{validation_share:g}", "Set data.validation_share=0.2."
            )
        if root is not None and dataset is not None:
            raise UserError("data.root or data.dataset", "both", "Set one of them to null.")
        mean_C, std_C = _per_channel("mean", mean, channels), _per_channel("std", std, channels)
        if min(std_C) <= 0:
            raise UserError("data.std above 0", f"{std}", "Set data.std to 0.5 (the default).")
        image_format = ImageFormat(image_size, channels)
        splits = image_splits(
            root, dataset, dataset_config, image, label, image_format, cache_dir, skip_unreadable=skip_unreadable
        )
        super().__init__(
            _info(name or default_name(root, dataset), label_names or splits.class_names(), metrics or ["accuracy"]),
            SelectionProtocol(selection, selection_rows, train_rows, seed),
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            shuffle_seed=seed if shuffle_seed is None else shuffle_seed,
            predict_split="predict" if predict is not None else "validation",
        )
        self.image_size, self.normalization = image_size, (mean_C, std_C)
        self.train_transforms = list(train_transforms or [])
        self._splits, self._format, self._validation_share = splits, image_format, validation_share
        self._predict, self._skip_unreadable = predict, skip_unreadable

    @classmethod
    def run_name(cls, settings: Mapping[str, Any]) -> str:
        """Return the name of the task that settings of the section `data` describe, for the run directory."""
        return str(settings["name"] or default_name(settings["root"], settings["dataset"]))

    @classmethod
    def completed(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that a run stores because they follow from the training split: the names of the classes.

        Raises:
            UserError: There are no classes.
        """
        if settings["label_names"] is not None:
            return {}
        plain = {**settings, "train_transforms": None}
        return {"label_names": cls(**plain).label_names}

    # --- splits -------------------------------------------------------------------------------------------------------

    @property
    def test_splits(self) -> tuple[str, ...]:
        """The split `test`; without test images, it has those of the validation split."""
        return ("test",)

    def describe(self) -> dict[str, object]:
        """Return how the images were selected and changed, as `result.json` stores it under `data`."""
        return super().describe() | {"transforms": [type(transform).__name__ for transform in self.train_transforms]}

    def texts(self, split: str, index: int) -> dict[str, str]:
        """Return the file of an image below its folder, or its number."""
        return {"image": self._table(split).names[index]}

    def _training_labels(self) -> list[float]:
        return list(self._table("train").labels or [])

    def _build(self, split: str) -> ImageRows:
        table = self._table(split)
        if split == "train":
            return self._image_rows(table, self._division.training, self.train_transforms)
        rows = self._image_rows(table, range(len(table)))
        if split == "validation":
            rows.columns["selection"] = self.protocol.selected(list(table.labels or []))
        return rows

    def _build_selection(self, first_index: int) -> ImageRows:
        rows = self._image_rows(self._table("train"), self._division.selection)
        rows.columns["index"] += first_index
        rows.columns["selection"] = torch.ones(len(rows), dtype=torch.bool)
        return rows

    def _image_rows(self, table: ImageTable, index: Sequence[int], transforms: Sequence[nn.Module] = ()) -> ImageRows:
        selected = table if len(index) == len(table) else table.select(index)
        columns = {"index": torch.tensor(index)}
        if selected.labels is not None:
            columns["labels"] = torch.tensor(selected.labels)
        return ImageRows(selected, transforms, *self.normalization, columns, self.shuffle_seed)

    def _table(self, split: str) -> ImageTable:
        """Return all images of a split."""
        if split == "predict":
            return self._predict_table
        return self._tables[split if split in self._tables else "validation"]

    @cached_property
    def _tables(self) -> dict[str, ImageTable]:
        return self._splits.tables(self.label_names, self._validation_share, self.protocol.seed)

    @cached_property
    def _predict_table(self) -> ImageTable:
        folder = Path(str(self._predict)).expanduser()
        return folder_table(folder, None, self._format, skip_unreadable=self._skip_unreadable)

    def _train_sampler(self, rows: ImageRows, world_size: int) -> EpochRowSampler:
        return EpochRowSampler(len(rows), self.shuffle_seed)


def default_name(root: str | None, dataset: str | None) -> str:
    """Return the name of a task without a name: the last part of the folder or data set, or `digits`."""
    return Path(root or dataset or "digits").expanduser().resolve().name


def _info(name: str, label_names: Sequence[str], metrics: Sequence[str]) -> TaskInfo:
    files = {split: SplitFile(split, (), "label") for split in ("train", "validation", "test")}
    files["predict"] = SplitFile("predict", ())
    return TaskInfo(name, (), tuple(label_names), tuple(metrics), files)


def _per_channel(name: str, value: list[float] | float, channels: int) -> list[float]:
    values = [value] * channels if isinstance(value, int | float) else list(value)
    if len(values) != channels:
        raise UserError(
            f"data.{name} with {channels} numbers, one per channel",
            f"{len(values)}",
            f"Set data.{name} to one number, or data.channels to {len(values)}.",
        )
    return values
