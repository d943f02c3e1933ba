"""Sources of rows: the Hugging Face hub, the official files and generated data. All have the same columns."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import datasets
import pyarrow as pa
from datasets import Dataset

from acl_lightning.data.glue_files import read_split
from acl_lightning.data.synthetic import generate_split
from acl_lightning.data.tasks import TaskInfo
from acl_lightning.errors import UserError


class Source(Protocol):
    """A loader of splits with canonical columns.

    The columns are the task's texts, `label` if the split is labelled, and `difficulty` if it is known.
    """

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Return the rows of `split` in a fixed order; the position of a row is its `index`."""
        ...


@dataclass(frozen=True)
class HubSource:
    """`nyu-mll/glue` on the Hugging Face hub.

    Attributes:
        cache_dir: Directory of the downloads; None for the Hugging Face default.
    """

    cache_dir: str | None = None

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Download a split, or read it from the cache.

        Raises:
            UserError: The split is neither reachable nor cached (with HF_HUB_OFFLINE=1 immediately, otherwise after the
                retries of the hub), or the cached rows are damaged and cannot be prepared again.
        """
        try:
            rows = self._load(info, split)
        except OSError as error:  # also ConnectionError and the hub's own errors
            raise UserError(
                f"{info.hub_dataset} ({info.name}) from the hub or its cache",
                f"no connection and no cached copy ({type(error).__name__})",
                "Fill the Hugging Face cache once while online, set data.root to the directory of the official files, "
                "or set data.source to synthetic.",
            ) from error
        labels = [] if info.files[split].label is None else ["label"]
        return rows.select_columns([*info.hub_columns, *labels]).rename_columns(
            {
                hub: canonical
                for hub, canonical in zip(info.hub_columns, info.text_columns, strict=True)
                if hub != canonical
            }
        )

    def _load(self, info: TaskInfo, split: str) -> Dataset:
        """Read the cached rows; if they are damaged, prepare them again from the downloaded files."""
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
    """Whether a file exists but is damaged. For a truncated file pyarrow raises a plain OSError."""
    return not isinstance(error, OSError) or str(error).startswith("Expected to be able to read")


@dataclass(frozen=True)
class LocalSource:
    """The official TSV files; see `glue_files`.

    Attributes:
        root: Directory that contains the directories of the tasks.
    """

    root: Path

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Read the file of the split; raise `UserError` if it is missing or malformed."""
        return Dataset.from_dict(read_split(self.root, info, split))


@dataclass(frozen=True)
class SyntheticSource:
    """Generated data; every split has labels and the difficulty of its rows. See `synthetic`.

    Attributes:
        train_rows: Number of rows of the training split; every other split has a quarter of it.
        seed: Seed of the generated rows.
    """

    train_rows: int
    seed: int

    def load(self, info: TaskInfo, split: str) -> Dataset:
        """Generate the split."""
        size = self.train_rows if split == "train" else max(1, self.train_rows // 4)
        return Dataset.from_dict(generate_split(info, split, size, self.seed))


def build_source(
    kind: str | None, *, root: str | None, cache_dir: str | None, synthetic_rows: int, seed: int
) -> Source:
    """Return the source of a configuration.

    Args:
        kind: `hub`, `local` or `synthetic`; None means `local` if `root` is set and `hub` otherwise.
        root: Directory of the official files; required for `local` and an error otherwise.
        cache_dir: Directory of the downloads; None for the Hugging Face default.
        synthetic_rows: Number of rows of the generated training split.
        seed: Seed of the generated rows.

    Raises:
        UserError: The kind is unknown, or it contradicts `root`.
    """
    if kind is None:
        kind = "hub" if root is None else "local"
    if kind == "local" and root is None:
        raise UserError(
            "--data.root with --data.source=local",
            "none",
            "Set data.root to the directory that contains CoLA, SST-2, …",
        )
    if kind != "local" and root is not None:
        raise UserError(
            f"no --data.root with --data.source={kind}", repr(root), "Leave out data.root, or set data.source to local."
        )
    sources: dict[str, Callable[[], Source]] = {
        "hub": lambda: HubSource(cache_dir),
        "local": lambda: LocalSource(Path(str(root))),
        "synthetic": lambda: SyntheticSource(synthetic_rows, seed),
    }
    if kind not in sources:
        raise UserError(f"--data.source among {', '.join(sources)}", repr(kind), "Set data.source to one of them.")
    return sources[kind]()
