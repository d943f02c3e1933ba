"""Where the rows come from: the hub, the official files, or the grammar. All give the same columns."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import datasets
import pyarrow as pa
from datasets import Dataset

from acl_lightning.data.glue_files import read_split
from acl_lightning.data.synthetic import generate_split
from acl_lightning.data.tables import TaskInfo
from acl_lightning.errors import UserError


class Source(Protocol):
    """Loads one split with the canonical columns: the task's texts, `label` where there is one, maybe `difficulty`."""

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Rows of `split`, in a fixed order; a row's position is its `index` everywhere."""
        ...


@dataclass(frozen=True)
class HubSource:
    """`nyu-mll/glue` on the Hugging Face hub.

    Attributes:
        cache_dir: where the download is kept; None for the Hugging Face default.
    """

    cache_dir: str | None = None

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Download or take from the cache.

        Raises:
            UserError: Neither hub nor cache has it (at once when HF_HUB_OFFLINE=1, else after the hub's retries), or
                the cached rows are damaged and cannot be prepared again.
        """
        try:
            rows = self._load(info, split)
        except OSError as error:  # also ConnectionError and the hub's own errors
            raise UserError(
                f"{info.hub_dataset} ({info.name}) from the hub or its cache",
                f"no connection and no cached copy ({type(error).__name__})",
                "Fill the Hugging Face cache once while online, give the official files with --data.root, "
                "or choose --data.source=synthetic.",
            ) from error
        labels = [] if info.files[split].label is None else ["label"]
        return rows.select_columns([*info.hub_columns, *labels]).rename_columns(
            {hub: ours for hub, ours in zip(info.hub_columns, info.text_columns, strict=True) if hub != ours}
        )

    def _load(self, info: TaskInfo, split: str) -> Dataset:
        """Read the cached rows; prepare them once more from the downloaded files if they are damaged."""
        directory = Path(self.cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
        name = f"{info.hub_dataset} ({info.name})"
        arguments: dict[str, Any] = {
            "path": info.hub_dataset,
            "name": info.name,
            "split": split,
            "cache_dir": self.cache_dir,
        }
        try:
            return datasets.load_dataset(**arguments)
        except (OSError, pa.ArrowException, datasets.exceptions.DatasetGenerationError) as error:
            if not _is_damage(error):
                raise
            warnings.warn(
                f"the cached rows of {name} in {directory} are damaged ({error}); prepared again", stacklevel=2
            )
        try:
            return datasets.load_dataset(**arguments, download_mode=datasets.DownloadMode.REUSE_CACHE_IF_EXISTS)
        except (OSError, pa.ArrowException, datasets.exceptions.DatasetGenerationError) as error:
            if not _is_damage(error):
                raise
            raise UserError(
                f"undamaged rows of {name} in {directory}",
                str(error),
                f"Delete {directory} while a connection is available, or set data.cache_dir to another directory.",
            ) from error


def _is_damage(error: Exception) -> bool:
    """Whether a file was found but is damaged. For a truncated one pyarrow raises a plain OSError."""
    return not isinstance(error, OSError) or str(error).startswith("Expected to be able to read")


@dataclass(frozen=True)
class LocalSource:
    """The official TSV download below `root`; see `glue_files`."""

    root: Path

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Read the split's file; `UserError` when it is missing or malformed."""
        return Dataset.from_dict(read_split(self.root, info, split))


@dataclass(frozen=True)
class SyntheticSource:
    """The grammar of `synthetic`; every split is labelled and knows its difficulty.

    Attributes:
        train_rows: size of the training split; the others have a quarter of it each.
        seed: of the generated rows.
    """

    train_rows: int
    seed: int

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Generate the split."""
        size = self.train_rows if split == "train" else max(1, self.train_rows // 4)
        return Dataset.from_dict(generate_split(info, split, size, self.seed))
