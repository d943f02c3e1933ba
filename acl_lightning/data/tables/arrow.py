"""Reader of Parquet files and of data sets of the library `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from datasets import ClassLabel, Dataset, Features

from acl_lightning.table_files.base import CHUNK_ROWS, Cell, Chunk
from acl_lightning.table_files.parquet import ParquetRows


class ParquetTable(ParquetRows):
    """A Parquet file; class indices that the library `datasets` wrote are replaced by class names.

    Args:
        path: The file.

    Raises:
        UserError: It is not a Parquet file, or damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._classes = _class_labels(Features.from_arrow_schema(self.schema) if _is_a_dataset(self.schema) else {})

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the rows in chunks; see `Table.chunks`."""
        for chunk in super().chunks(size):
            yield Chunk(_with_class_names(chunk.columns, self._classes), chunk.numbers)


class DatasetTable:
    """A split of a data set, with the names of its classes in place of their indices.

    Args:
        name: Name for messages.
        rows: The split.
    """

    unit = "row"

    def __init__(self, name: str, rows: Dataset) -> None:
        self.name, self._dataset = name, rows
        self.columns = tuple(rows.column_names)
        self._classes = _class_labels(rows.features or {})

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the rows in chunks; see `Table.chunks`. The class index -1 of the hub is a missing value."""
        number = 1
        for table in self._dataset.with_format("arrow").iter(batch_size=size):
            columns = _with_class_names(table.to_pydict(), self._classes)
            yield Chunk(columns, range(number, number + table.num_rows))
            number += table.num_rows


def _is_a_dataset(schema: pa.Schema) -> bool:
    """Whether the library `datasets` wrote a file and stored its features in the schema."""
    return b"huggingface" in (schema.metadata or {})


def _class_labels(features: Mapping[str, object]) -> dict[str, ClassLabel]:
    return {column: feature for column, feature in features.items() if isinstance(feature, ClassLabel)}


def _with_class_names(
    columns: Mapping[str, Sequence[Cell]], classes: Mapping[str, ClassLabel]
) -> dict[str, Sequence[Cell]]:
    """Replace the class indices of each column in `classes` by class names; None for a missing index, also -1."""
    named = {
        column: [feature.int2str(index) if isinstance(index, int) and index >= 0 else None for index in columns[column]]
        for column, feature in classes.items()
    }
    return {**columns, **named}
