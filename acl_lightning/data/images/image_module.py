"""Lightning data module of images: settings, splits and loaders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, SequentialSampler

from acl_lightning.data.images.folders import ImageFormat, folder_table
from acl_lightning.data.images.image_rows import Batch, EpochRowSampler, ImageRows
from acl_lightning.data.images.splits import DigitSplits, FolderSplits, HubSplits, ImageSplits
from acl_lightning.data.images.tables import ImageTable
from acl_lightning.data.loaders import ResumableLoader, loader_settings, whole_batch
from acl_lightning.data.protocol import SelectionProtocol
from acl_lightning.data.samplers import RemainingBatches, ShardedBatchSampler, batches_per_epoch
from acl_lightning.data.task_module import TaskDataModule
from acl_lightning.data.tasks import SplitFile, TaskInfo
from acl_lightning.data.text_module import at_least
from acl_lightning.errors import UserError


class ImageDataModule(TaskDataModule):
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
        dataset: Id of a data set on the hub, or directory of `DatasetDict.save_to_disk`.
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
        cache_dir: Directory of downloads; None for the Hugging Face default.

    Raises:
        UserError: A setting is out of range, or the images or their classes are missing.
    """

    #: Split that the selection rows are taken from.
    selection = "validation"

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
        cache_dir: str | None = None,
    ) -> None:
        super().__init__()
        at_least(1, image_size=image_size, batch_size=batch_size, eval_batch_size=eval_batch_size)
        at_least(0, num_workers=num_workers, seed=seed)
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
        #: Mean and standard deviation of each channel, which images are normalised by.
        self.normalization = mean_C, std_C
        self.image_size, self._format = image_size, ImageFormat(image_size, channels)
        self._splits = self._source(root, dataset, image, label, cache_dir, skip_unreadable=skip_unreadable)
        names = list(label_names or self._splits.class_names())
        self.info = _info(name or default_name(root, dataset), names, metrics or ["accuracy"])
        self.task_name: str = self.info.name
        self.label_names: list[str] = names
        self.metrics: list[str] = list(self.info.metrics)
        self.num_labels: int = len(names)
        self.predict_split = "predict" if predict is not None else "validation"
        self._predict, self._skip_unreadable = predict, skip_unreadable
        self.batch_size, self.eval_batch_size, self.num_workers = batch_size, eval_batch_size, num_workers
        self.seed, self.shuffle_seed = seed, seed if shuffle_seed is None else shuffle_seed
        self.train_transforms = list(train_transforms or [])
        self._validation_share = validation_share
        self._protocol = SelectionProtocol("validation", None, train_rows, seed)
        #: Number of batches that an interrupted prediction has written, see `TextDataModule`.
        self.first_predict_batch: Callable[[], int] | None = None
        self._tables: dict[str, ImageTable] = {}
        self._rows: dict[str, ImageRows] = {}

    def _source(
        self,
        root: str | None,
        dataset: str | None,
        image: str,
        label: str,
        cache_dir: str | None,
        *,
        skip_unreadable: bool,
    ) -> ImageSplits:
        if dataset is not None:
            return HubSplits(dataset, image, label, self._format, cache_dir)
        if root is not None:
            return FolderSplits(Path(root).expanduser(), self._format, skip_unreadable=skip_unreadable)
        return DigitSplits(self._format)

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

    def setup(self, stage: str | None = None) -> None:
        """Load the splits of a stage (`fit`, `validate`, `test`, `predict`), or all labelled splits for None."""
        splits = {
            "fit": ("train", "validation"),
            "validate": ("validation",),
            "test": ("test",),
            "predict": (self.predict_split,),
        }
        for split in splits.get(stage or "", ("train", "validation")):
            self.rows(split)

    def rows(self, split: str) -> ImageRows:
        """Return the images of a split (`train`, `validation`, `test`, `predict`), listing them at the first call.

        Raises:
            UserError: The split is missing, or an image does not open.
        """
        if split not in self._rows:
            self._rows[split] = self._built(split)
        return self._rows[split]

    def _built(self, split: str) -> ImageRows:
        table = self._table(split)
        columns = {"index": torch.arange(len(table))}
        if table.labels is not None:
            columns["labels"] = torch.tensor(table.labels)
            if split == "validation":
                columns["selection"] = self._protocol.selected(list(table.labels))
        transforms = self.train_transforms if split == "train" else []
        return ImageRows(table, transforms, *self.normalization, columns, self.shuffle_seed)

    def _table(self, split: str) -> ImageTable:
        if split == "predict":
            return folder_table(
                Path(str(self._predict)).expanduser(), None, self._format, skip_unreadable=self._skip_unreadable
            )
        if not self._tables:
            self._tables = self._splits.tables(self.label_names, self._validation_share, self.seed)
            train = self._tables["train"]
            training = self._protocol.divide(list(train.labels or []), self.task_name).training
            self._tables["train"] = train.select(training)
        return self._tables[split if split in self._tables else "validation"]

    # --- loaders ------------------------------------------------------------------------------------------------------

    def train_dataloader(self) -> ResumableLoader:
        """Return the training loader, whose order and augmentation depend on `shuffle_seed` and the epoch only."""
        rows = self.rows("train")
        overfits = getattr(self.trainer, "overfit_batches", 0) > 0
        sampler = SequentialSampler(rows) if overfits else EpochRowSampler(len(rows), self.shuffle_seed)
        rank, world_size = self._rank()
        batches = ShardedBatchSampler(sampler, self.batch_size, rank=rank, world_size=world_size)
        return ResumableLoader(rows, batches, **loader_settings(self.num_workers, rank))

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the validation split in row order."""
        return self._in_order("validation")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the test split in row order; without a test split, of the validation split."""
        return self._in_order("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of `predict` in row order, without batches that are already predicted."""
        return self._in_order(self.predict_split, self.first_predict_batch() if self.first_predict_batch else 0)

    def rows_per_prediction(self, world_size: int) -> int:
        """Return the number of images after which an interrupted prediction can continue: those of a global batch."""
        return self.eval_batch_size * world_size

    def describe(self) -> dict[str, object]:
        """Return how the images were selected, as `result.json` stores it under `data`."""
        return {
            "selection": self.selection,
            "seed": self.seed,
            "train_rows": len(self._rows["train"]) if "train" in self._rows else None,
            "transforms": [type(transform).__name__ for transform in self.train_transforms],
        }

    def prediction_fields(self, batch: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the fields of each image of a prediction batch that are copied to the output: its file."""
        return [self.texts(self.predict_split, row) for row in batch["index"].tolist()]

    def texts(self, split: str, index: int) -> dict[str, str]:
        """Return the file of an image below its folder, or its number."""
        return {"image": self.rows(split).table.names[index]}

    def prediction_hash(self) -> str:
        """Return a hash of the images of `predict`, by which an interrupted prediction is recognised."""
        return self.rows(self.predict_split).content_hash()

    def num_prediction_rows(self) -> int:
        """Return the number of rows of `predict`."""
        return len(self.rows(self.predict_split))

    def class_counts(self) -> Tensor:
        """Return the number of training images of every class, (C,)."""
        return torch.bincount(self.rows("train").columns["labels"], minlength=self.num_labels)

    def train_batches_per_epoch(self, world_size: int) -> int:
        """Return the number of training batches of each of `world_size` processes in an epoch."""
        return batches_per_epoch(len(self.rows("train")), self.batch_size * world_size)

    def _in_order(self, split: str, first_batch: int = 0) -> DataLoader[Batch]:
        rows = self.rows(split)
        rank, world_size = self._rank()
        sampler = RemainingBatches(
            SequentialSampler(rows), self.eval_batch_size, rank=rank, world_size=world_size, first_batch=first_batch
        )
        return DataLoader(
            rows, batch_sampler=sampler, collate_fn=whole_batch, **loader_settings(self.num_workers, rank)
        )

    def _rank(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def default_name(root: str | None, dataset: str | None) -> str:
    """Return the name of a task without a name: the last part of the folder or data set, or `digits`."""
    return Path(root or dataset or "digits").expanduser().resolve().name


def _info(name: str, label_names: Sequence[str], metrics: Sequence[str]) -> TaskInfo:
    files = {split: SplitFile(split, (), "label") for split in ("train", "validation", "test")}
    return TaskInfo(
        name=name,
        text_columns=(),
        hub_columns=(),
        label_names=tuple(label_names),
        metrics=tuple(metrics),
        directory="",
        file_labels=(),
        files=files,
    )


def _per_channel(name: str, value: list[float] | float, channels: int) -> list[float]:
    values = [value] * channels if isinstance(value, int | float) else list(value)
    if len(values) != channels:
        raise UserError(
            f"data.{name} with {channels} numbers, one per channel",
            f"{len(values)}",
            f"Set data.{name} to one number, or data.channels to {len(values)}.",
        )
    return values
