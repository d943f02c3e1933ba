"""Count of truncated rows, and the warning about them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Share of rows that fit into the recommended length.
RECOMMENDED_SHARE = 0.95


@dataclass(frozen=True)
class Truncation:
    """Number of rows of a split that are longer than the maximum length.

    Attributes:
        max_length: Tokens that a row is truncated to.
        rows: Number of rows.
        truncated: Number of rows with more tokens than `max_length`.
        length_95: Smallest maximum length at which at least 95 % of the rows are whole; 0 without rows.
    """

    max_length: int
    rows: int
    truncated: int
    length_95: int

    @classmethod
    def measure(cls, num_tokens: Sequence[int] | np.ndarray, max_length: int) -> Truncation:
        """Count the truncated rows.

        Args:
            num_tokens: Number of tokens of each row before truncation, including special tokens.
            max_length: Number of tokens that rows are truncated to.

        >>> Truncation.measure([3, 9, 4, 5], max_length=8)
        Truncation(max_length=8, rows=4, truncated=1, length_95=9)
        """
        lengths = np.asarray(num_tokens, dtype=np.int64)
        length_95 = int(np.quantile(lengths, RECOMMENDED_SHARE, method="inverted_cdf")) if len(lengths) else 0
        return cls(max_length, len(lengths), int((lengths > max_length).sum()), length_95)

    @property
    def share(self) -> float:
        """Share of rows that are truncated."""
        return self.truncated / self.rows if self.rows else 0.0

    def warn(self, split: str, limit: int) -> None:
        """Warn if rows are truncated.

        Args:
            split: Name of the split.
            limit: Largest `max_length` of the tokenizer.
        """
        if not self.truncated:
            return
        share = f"{100 * self.share:.1f} %" if self.share >= 0.001 else "less than 0.1 %"
        message = (
            f"{self.truncated} of {self.rows} rows ({share}) of the split {split} are truncated to data.max_length = "
            f"{self.max_length} tokens"
        )
        if self.length_95 <= self.max_length:
            message += f"; 95 % of the rows have at most {self.length_95} tokens."
        elif self.length_95 <= limit:
            message += f". Set data.max_length to {self.length_95} to keep 95 % of the rows whole."
        else:
            message += f". 95 % of the rows have at most {self.length_95} tokens; the tokenizer allows {limit}."
        warnings.warn(message, stacklevel=2)
