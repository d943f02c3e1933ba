"""Evaluation batches with a largest number of tokens instead of a fixed number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.utils.data import BatchSampler, Sampler

from acl_lightning.errors import UserError

#: Number of rows that are sorted by length together; rows of different windows are never in one batch.
WINDOW = 1024


class TokenBudgetSampler(BatchSampler):
    """Batches of at most `max_tokens` tokens, padding included: number of rows times length of the longest row.

    The rows are cut into windows of `WINDOW` rows in order. The rows of a window are sorted by length and packed into
    as few batches as the order allows, the longest rows first. Windows follow each other, so that the predictions of a
    window can be written in row order when its last batch is done.

    With several processes, every process takes every `world_size`-th batch of a window. If their number does not divide
    evenly, batches of the window are repeated; these duplicates are recognised by the `index` column.

    Args:
        sampler: Sampler of all rows in order. Here and below, the position of the arguments is that of torch's
            `BatchSampler`, because Lightning rebuilds the sampler for prediction.
        batch_size: Not used.
        drop_last: Not used: no row is left out.
        lengths: Number of tokens of each row.
        max_tokens: Largest number of tokens of a batch of a process.
        rank: Rank of this process.
        world_size: Number of processes.
        first_window: Number of windows to skip, for a prediction that continues after an interruption.

    Raises:
        UserError: A row is longer than `max_tokens`.

    >>> from torch.utils.data import SequentialSampler
    >>> list(TokenBudgetSampler(SequentialSampler(range(5)), lengths=[3, 9, 4, 5, 2], max_tokens=10))
    [[1], [3, 2], [0, 4]]
    """

    def __init__(
        self,
        sampler: Sampler[int],
        batch_size: int = 1,
        drop_last: bool = False,
        *,
        lengths: Sequence[int],
        max_tokens: int,
        rank: int = 0,
        world_size: int = 1,
        first_window: int = 0,
    ) -> None:
        super().__init__(sampler, batch_size, drop_last)
        longest = max(lengths, default=0)
        if longest > max_tokens:
            raise UserError(
                f"data.max_tokens_per_batch of at least {longest}, the tokens of the longest row",
                f"{max_tokens}",
                f"Set data.max_tokens_per_batch to {longest} or more, or to null for batches of data.eval_batch_size.",
            )
        self.batches: list[list[int]] = []
        for start in range(first_window * WINDOW, len(lengths), WINDOW):
            rows = range(start, min(start + WINDOW, len(lengths)))
            packed = _packed(sorted(rows, key=lambda row: -lengths[row]), lengths, max_tokens)
            packed += [packed[number % len(packed)] for number in range(-len(packed) % world_size)]
            self.batches += packed[rank::world_size]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        yield from self.batches


def _packed(rows: Sequence[int], lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Return batches of the rows, which descend by length."""
    batches: list[list[int]] = []
    for row in rows:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= max_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches
