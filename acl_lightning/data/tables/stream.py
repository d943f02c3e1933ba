"""Prediction rows that are read, tokenised and passed on batch by batch, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from acl_lightning.data.tables.base import Cell, Chunk
from acl_lightning.data.tables.cells import is_missing, text_of
from acl_lightning.data.tables.layout import check_columns
from acl_lightning.data.tables.opening import TablePlace
from acl_lightning.errors import UserError

#: Texts of the rows, by column -> token columns (B, S).
Tokenise = Callable[[Sequence[list[str]]], dict[str, Tensor]]


class InputRows:
    """The columns of the input rows of a batch, which are copied to the output.

    It is an object instead of a list, so that Lightning moves it between devices unchanged.

    Attributes:
        rows: Value of every column, for each row.
    """

    def __init__(self, rows: list[dict[str, Cell]]) -> None:
        self.rows = rows


class StreamedBatches(IterableDataset[dict[str, object]]):
    """Batches of a table without labels, in the order of its rows.

    A batch has the token columns, `index` (number of the row in the table, from 0) and `input_rows`. Rank r takes the
    r-th slice of every global batch of `batch_size * world_size` rows; the last one is filled up by repeating its last
    row, so that all ranks have the same number of batches.

    Args:
        place: The table.
        text: Names of the text columns.
        tokenise: Function from texts to padded token columns.
        batch_size: Number of rows of a batch per process.
        rank: Rank of this process.
        world_size: Number of processes.
        first_batch: Number of batches to leave out, which an interrupted prediction has written.
        skips_incomplete: Whether rows without a text are left out instead of refused.

    Raises:
        UserError: Standard input is read by several processes.
    """

    def __init__(
        self,
        place: TablePlace,
        text: Sequence[str],
        tokenise: Tokenise,
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        first_batch: int = 0,
        skips_incomplete: bool = False,
    ) -> None:
        super().__init__()
        if place.is_standard_input and world_size > 1:
            raise UserError("a single process that reads standard input", f"{world_size}", "Set trainer.devices to 1.")
        self.place, self.text, self.tokenise = place, tuple(text), tokenise
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.first_batch, self.skips_incomplete = first_batch, skips_incomplete

    def __iter__(self) -> Iterator[dict[str, object]]:
        """Read the table from the beginning.

        Raises:
            UserError: The table is malformed, lacks a text column, or has a row without a text.
        """
        table = self.place.open()
        check_columns(self.text, table.columns, table.name, ["text"] * len(self.text))
        index = 0
        global_batch = self.batch_size * self.world_size
        numbered: list[tuple[int, dict[str, Cell]]] = []
        for chunk in table.chunks(global_batch):
            for row in self._complete(chunk, table.name, table.unit):
                numbered.append((index, row))
                index += 1
            while len(numbered) >= global_batch:
                yield from self._batch(numbered[:global_batch])
                del numbered[:global_batch]
        if numbered:
            yield from self._batch(numbered)
        if not index:
            raise UserError(f"rows in {table.name}", "none", "Set data.predict to a table with rows.")

    def _complete(self, chunk: Chunk, name: str, unit: str) -> Iterator[dict[str, Cell]]:
        for number, row in zip(chunk.numbers, chunk.rows(), strict=True):
            empty = [column for column in self.text if is_missing(row.get(column))]
            if not empty:
                for column in self.text:
                    text_of(row[column], f"column {column!r} of {name}, {unit} {number}")
                yield row
            elif not self.skips_incomplete:
                raise UserError(
                    f"a text in column {empty[0]!r} of {name}, {unit} {number}",
                    "an empty value",
                    "Complete the row, or set data.skip_incomplete to true to leave such rows out.",
                )

    def _batch(self, numbered: list[tuple[int, dict[str, Cell]]]) -> Iterator[dict[str, object]]:
        """Yield the batch of this process, unless it is left out."""
        if numbered[0][0] < self.first_batch * self.batch_size * self.world_size:
            return
        padded = numbered + [numbered[-1]] * (-len(numbered) % self.world_size)
        share = len(padded) // self.world_size
        own = list(islice(padded, self.rank * share, (self.rank + 1) * share))
        texts = [[str(row[column]) for _, row in own] for column in self.text]
        yield {
            **self.tokenise(texts),
            "index": torch.tensor([index for index, _ in own]),
            "input_rows": InputRows([row for _, row in own]),
        }
