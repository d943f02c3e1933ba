"""Prediction rows that are read, tokenised and passed on batch by batch, in bounded memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import IterableDataset, SequentialSampler

from acl_lightning.data.batches.token_budget import WINDOW, TokenBudgetSampler
from acl_lightning.data.tables.cells import is_missing, text_of
from acl_lightning.data.tables.layout import check_columns
from acl_lightning.data.tables.opening import TablePlace
from acl_lightning.errors import UserError
from acl_lightning.table_files.base import Cell, Table

#: Rows with their number in the table, from 0.
Block = list[tuple[int, dict[str, Cell]]]


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

    A batch has the token columns, `index` (number of the row in the table, from 0) and `input_rows`. The rows are read
    in blocks: of a global batch of `batch_size * world_size` rows, of which every process takes its slice, or, with
    `max_tokens`, of `WINDOW` rows, which are packed by length; see `TokenBudgetSampler`. If a block does not divide
    evenly, rows are repeated, so that all processes have the same number of batches.

    Args:
        place: The table.
        text: Names of the text columns.
        tokenizer: Tokenizer of transformers.
        max_length: Number of tokens that rows are truncated to, including special tokens.
        batch_size: Number of rows of a batch per process.
        max_tokens: Largest number of tokens of a batch per process; None: `batch_size` decides.
        rank: Rank of this process.
        world_size: Number of processes.
        first_block: Number of blocks to leave out, which an interrupted prediction has written.
        skips_incomplete: Whether rows without a text are left out, with a warning, instead of refused.

    Raises:
        UserError: Standard input is read by several processes.
    """

    def __init__(
        self,
        place: TablePlace,
        text: Sequence[str],
        tokenizer: Any,
        *,
        max_length: int,
        batch_size: int,
        max_tokens: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        first_block: int = 0,
        skips_incomplete: bool = False,
    ) -> None:
        super().__init__()
        if place.is_standard_input and world_size > 1:
            raise UserError("a single process that reads standard input", f"{world_size}", "Set trainer.devices to 1.")
        self.place, self.text, self.tokenizer = place, tuple(text), tokenizer
        self.max_length, self.batch_size, self.max_tokens = max_length, batch_size, max_tokens
        self.rank, self.world_size = rank, world_size
        self.first_block, self.skips_incomplete = first_block, skips_incomplete

    def __iter__(self) -> Iterator[dict[str, object]]:
        """Read the table from the beginning.

        Raises:
            UserError: The table is malformed, lacks a text column, or has a row without a text.
        """
        table = self.place.open()
        check_columns(self.text, table.columns, table.name, ["text"] * len(self.text))
        size = self.batch_size * self.world_size if self.max_tokens is None else WINDOW
        rows = enumerate(self._complete_rows(table, size))
        number = 0
        while block := list(islice(rows, size)):
            if number >= self.first_block:
                yield from self._batches(block)
            number += 1
        if not number:
            raise UserError(f"rows in {table.name}", "none", "Set data.predict to a table with rows.")

    def _complete_rows(self, table: Table, size: int) -> Iterator[dict[str, Cell]]:
        skipped = 0
        for chunk in table.chunks(size):
            for number, row in zip(chunk.numbers, chunk.rows(), strict=True):
                place = f"{table.name}, {table.unit} {number}"
                empty = [column for column in self.text if is_missing(row.get(column))]
                if not empty:
                    for column in self.text:
                        text_of(row[column], f"column {column!r} of {place}")
                    yield row
                elif self.skips_incomplete:
                    skipped += 1
                else:
                    raise UserError(
                        f"a text in column {empty[0]!r} of {place}",
                        "an empty value",
                        "Complete the row, or set data.skip_incomplete to true to leave such rows out.",
                    )
        if skipped:
            warnings.warn(f"{skipped} rows of {table.name} without a text are left out", stacklevel=2)

    def _batches(self, block: Block) -> Iterator[dict[str, object]]:
        """Yield the batches of this process."""
        texts = [[str(row[column]) for _, row in block] for column in self.text]
        tokens = self.tokenizer(*texts, truncation=True, max_length=self.max_length)
        for positions in self._positions([len(ids) for ids in tokens["input_ids"]]):
            columns = {name: [values[position] for position in positions] for name, values in tokens.items()}
            yield {
                **{name: self._padded(name, values) for name, values in columns.items()},
                "index": torch.tensor([block[position][0] for position in positions]),
                "input_rows": InputRows([block[position][1] for position in positions]),
            }

    def _padded(self, column: str, rows: Sequence[Sequence[int]]) -> Tensor:
        """Return a column of the tokenizer (B, S), padded on the right. `tokenizer.pad` takes many times as long."""
        padding = {"input_ids": self.tokenizer.pad_token_id, "token_type_ids": self.tokenizer.pad_token_type_id}
        tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
        return pad_sequence(tensors, batch_first=True, padding_value=padding.get(column, 0))

    def _positions(self, lengths: Sequence[int]) -> list[list[int]]:
        """Return the positions in the block of the rows of each batch of this process."""
        if self.max_tokens is not None:
            sampler = TokenBudgetSampler(
                SequentialSampler(lengths),
                lengths=lengths,
                max_tokens=self.max_tokens,
                rank=self.rank,
                world_size=self.world_size,
            )
            return sampler.batches
        positions = [*range(len(lengths)), *[len(lengths) - 1] * (-len(lengths) % self.world_size)]
        share = len(positions) // self.world_size
        return [positions[self.rank * share : (self.rank + 1) * share]]
