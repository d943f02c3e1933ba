"""Where the rows come from: the hub, the official files, or the grammar. All give the same columns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import datasets
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
            UserError: neither hub nor cache has it. At once when HF_HUB_OFFLINE=1, else after the hub's retries.
        """
        try:
            rows = datasets.load_dataset(info.hub_dataset, info.name, split=split, cache_dir=self.cache_dir)
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
