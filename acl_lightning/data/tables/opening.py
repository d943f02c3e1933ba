"""Opening of tables by path, by name on the hub, or from standard input."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from datasets import Dataset, DatasetDict

from acl_lightning.data.hub_splits import DICTIONARY, SINGLE, is_saved, load_hub_splits, load_saved
from acl_lightning.data.tables.arrow import DatasetTable, ParquetTable
from acl_lightning.errors import UserError
from acl_lightning.table_files.base import Table
from acl_lightning.table_files.json_lines import JSONLinesTable
from acl_lightning.table_files.lines import STANDARD_INPUT, decoded_lines
from acl_lightning.table_files.text_format import TextFormat

#: Suffix of a file -> its format.
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class TablePlace:
    """Where a split is stored.

    Attributes:
        location: Path of a file or of a saved data set, `-` for standard input, or a split of `dataset`.
        dataset: Id of a data set on the hub, or directory in its layout or of saved splits; None: `location` is a path.
        dataset_config: Name of the configuration of a data set on the hub.
        text_format: Format of text files.
        cache_dir: Directory of downloads; None for the Hugging Face default.
        setting: Name of the setting in `data`, for messages.
    """

    location: str
    dataset: str | None = None
    dataset_config: str | None = None
    text_format: TextFormat = field(default_factory=TextFormat)
    cache_dir: str | None = None
    setting: str = "train"

    @property
    def is_standard_input(self) -> bool:
        """Whether the table is read from standard input."""
        return self.dataset is None and self.location == STANDARD_INPUT

    @property
    def unit(self) -> str:
        """Unit in which rows are counted in messages: `line` or `row`."""
        is_text = self.dataset is None and Path(self.location).suffix.lower() in FORMATS.keys() - {".parquet"}
        return "line" if is_text or self.is_standard_input else "row"

    def open(self) -> Table:
        """Open the table and read its column names.

        Raises:
            UserError: There is no such file, data set or split, its format is unknown, or its beginning is malformed.
        """
        if self.dataset is not None:
            name = f"{self.dataset} ({self.dataset_config})" if self.dataset_config else self.dataset
            return DatasetTable(f"{name}, split {self.location}", self._split())
        if self.is_standard_input:
            return self._standard_input()
        path = Path(self.location).expanduser()
        if path.is_dir():
            return DatasetTable(str(path), _saved(path, self.setting, self.setting))
        kind = self._kind(path)
        if kind == "parquet":
            return ParquetTable(path)
        return self.text_format.open(str(path), decoded_lines(path, str(path), self.text_format.encoding), kind)

    def content_hash(self) -> str:
        """Return a hash of the content: of the bytes of a file, or the fingerprint of a data set.

        Raises:
            UserError: As `open`.
        """
        if self.dataset is not None:
            return str(self._split()._fingerprint)
        path = Path(self.location).expanduser()
        if path.is_dir():
            return str(_saved(path, self.setting, self.setting)._fingerprint)
        self._kind(path)
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    def _kind(self, path: Path) -> str:
        if not path.is_file():
            raise UserError(
                f"a table at --data.{self.setting}",
                f"no file {path}",
                f"Set data.{self.setting} to a file ({', '.join(FORMATS)}) or to a directory of save_to_disk; a data "
                "set of the hub belongs to data.dataset.",
            )
        kind = FORMATS.get(path.suffix.lower())
        if kind is None:
            raise UserError(
                f"a table with one of the suffixes {', '.join(FORMATS)} at --data.{self.setting}",
                f"{path}",
                "Rename the file after its format.",
            )
        return kind

    def _standard_input(self) -> Table:
        lines = decoded_lines(None, "standard input", self.text_format.encoding)
        for number, line in lines:
            if line.strip():
                everything = chain([(number, line)], lines)
                if line.lstrip().startswith(("{", "[{")):  # a list of objects is refused by the reader
                    return JSONLinesTable("standard input", everything, rows_for_columns=1)
                return self.text_format.open("standard input", everything, "csv")
        return self.text_format.open("standard input", iter(()), "csv")

    def _split(self) -> Dataset:
        directory = Path(str(self.dataset)).expanduser()
        if is_saved(directory):
            return _saved(directory, self.location, self.setting)
        splits = load_hub_splits(str(self.dataset), self.dataset_config, self.cache_dir, "train to a file")
        return _chosen(splits, self.location, str(self.dataset), self.setting)


def _saved(directory: Path, split: str, setting: str) -> Dataset:
    """Return a split that `save_to_disk` wrote; a directory of a single split is that split."""
    if not is_saved(directory):
        raise UserError(
            f"a directory of save_to_disk at {directory}",
            f"neither {DICTIONARY} nor {SINGLE}",
            f"Set data.{setting} to a file, or to such a directory.",
        )
    loaded = load_saved(directory)
    return _chosen(loaded, split, str(directory), setting) if isinstance(loaded, DatasetDict) else loaded


def _chosen(splits: DatasetDict, split: str, name: str, setting: str) -> Dataset:
    if split not in splits:
        raise UserError(
            f"the split {split!r} in {name}", f"{', '.join(splits)}", f"Set data.{setting} to one of these splits."
        )
    return splits[split]
