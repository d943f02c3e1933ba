"""Reader of Parquet files without the library `datasets`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from acl_lightning.errors import UserError
from acl_lightning.table_files.base import CHUNK_ROWS, Chunk


class ParquetRows:
    """The rows of a Parquet file as they are stored: class indices stay integers.

    Args:
        path: The file.

    Attributes:
        schema: Columns with their types.
        num_rows: Number of rows.

    Raises:
        UserError: It is not a Parquet file, or damaged.
    """

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error
        self.schema: pa.Schema = self._file.schema_arrow
        self.columns = tuple(self.schema.names)
        self.num_rows: int = self._file.metadata.num_rows

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """Yield the rows in chunks; see `Table.chunks`."""
        number = 1
        try:
            for batch in self._file.iter_batches(batch_size=size):
                if batch.num_rows:
                    yield Chunk(batch.to_pydict(), range(number, number + batch.num_rows))
                    number += batch.num_rows
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        return UserError(
            f"a Parquet file at {self.name}", " ".join(str(error).split()), "Write the file again, or give another."
        )
