"""Tokenisation of texts, cached on disk, and padded batches of token ids."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from datasets import Dataset
from datasets.fingerprint import Hasher
from torch import Tensor
from transformers import AutoTokenizer

from acl_lightning.data.token_cache import load_or_build
from acl_lightning.errors import UserError
from acl_lightning.pretrained import resolve_pretrained

#: Part of the cache key: raise it when `_encode` changes what it stores.
ENCODING_VERSION = 2
#: Tokenising fewer rows than this is over before a progress bar could be read.
QUIET_BELOW = 50_000

#: Column with the number of tokens of a row before truncation, special tokens included.
NUM_TOKENS = "num_tokens"

Batch = dict[str, Tensor]


def load_tokenizer(source: str, max_length: int) -> Any:
    """Load a tokenizer that can pad and whose model reads `max_length` tokens. No code of the checkpoint is run.

    Raises:
        UserError: not found (or not reachable), no padding token, or `max_length` too large for it.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(resolve_pretrained(source), trust_remote_code=False)
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise UserError(
            f"a tokenizer at --data.tokenizer {source!r}",
            f"{type(error).__name__}: {str(error).splitlines()[0]}",
            "Give a directory with tokenizer files, package:MODULE/SUBDIR, or a hub id that is cached or reachable.",
        ) from error
    if tokenizer.pad_token_id is None:
        raise UserError(f"a padding token in {source!r}", "none", "Use the tokenizer of an encoder of the BERT family.")
    if max_length > tokenizer.model_max_length:
        raise UserError(
            f"--data.max_length up to {tokenizer.model_max_length} for {source!r}",
            f"{max_length}",
            f"Set data.max_length to {tokenizer.model_max_length} or less.",
        )
    return tokenizer


def tokenize(rows: Dataset, tokenizer: Any, text_columns: tuple[str, ...], max_length: int, cache_dir: Path) -> Dataset:
    """Tokenise the text columns of `rows`, truncated to `max_length`; the second time, read them from the cache.

    The cache file is named after the rows' content, the tokenizer and the settings. (`Dataset.map` alone would keep no
    file for rows that are in memory.) A damaged file is built again, see `load_or_build`.

    Returns:
        Columns `input_ids`, where the tokenizer has them `token_type_ids`, and `NUM_TOKENS`, the number of tokens
        before truncation; same order as `rows`.

    Raises:
        UserError: The cache cannot be written.
    """
    texts = rows.select_columns(list(text_columns))
    key = Hasher.hash((texts._fingerprint, Hasher.hash(tokenizer), max_length, ENCODING_VERSION))
    cache_dir.mkdir(parents=True, exist_ok=True)
    path = cache_dir / f"tokens-{key}.arrow"

    def build() -> None:
        with _progress_bars(shown=len(texts) >= QUIET_BELOW):
            texts.map(
                _encode,
                batched=True,
                remove_columns=list(text_columns),
                fn_kwargs={"tokenizer": tokenizer, "text_columns": text_columns, "max_length": max_length},
                cache_file_name=str(path),
                load_from_cache_file=False,
                new_fingerprint=key,  # else it hashes the tokenizer all over again
                desc="Tokenising",
            )

    return load_or_build(path, build, len(texts))


def _encode(
    rows: dict[str, list[str]], tokenizer: Any, text_columns: tuple[str, ...], max_length: int
) -> dict[str, Any]:
    """Tokenise without truncation, which gives the lengths, and once more those rows that are too long."""
    texts = [rows[name] for name in text_columns]
    whole = tokenizer(*texts, return_attention_mask=False, verbose=False)
    columns: dict[str, Any] = {name: whole[name] for name in ("input_ids", "token_type_ids") if name in whole}
    num_tokens = [len(ids) for ids in whole["input_ids"]]
    long = [row for row, count in enumerate(num_tokens) if count > max_length]
    if long:
        again = ([column[row] for row in long] for column in texts)
        cut = tokenizer(*again, truncation=True, max_length=max_length, return_attention_mask=False)
        for name, values in columns.items():
            for row, value in zip(long, cut[name], strict=True):
                values[row] = value
    return {**columns, NUM_TOKENS: num_tokens}


@contextlib.contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    hidden_here = not shown and not datasets.are_progress_bars_disabled()
    if hidden_here:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if hidden_here:
            datasets.enable_progress_bars()


class EncodedRows(torch.utils.data.Dataset[Batch]):
    """Tokenised rows that hand out whole batches, padded on the right to their longest row.

    All token ids lie in one flat tensor, so a batch is one gather and needs no loop over its rows.

    Args:
        tokens: columns of token ids per row, `input_ids` among them, as `tokenize` returns them.
        padding: padding value of each of these columns.
        columns: further values, one a row, that travel with the batch unchanged.
    """

    def __init__(self, tokens: Dataset, padding: dict[str, int], columns: dict[str, Tensor]) -> None:
        flat: dict[str, Tensor] = {}
        for name in tokens.column_names:
            lists = tokens.data.column(name).combine_chunks()
            flat[name] = torch.from_numpy(np.array(lists.flatten()))
            lengths = torch.from_numpy(np.array(lists.value_lengths(), dtype=np.int64))
        self._flat = flat
        self._lengths = lengths
        self._starts = lengths.cumsum(0) - lengths
        self._padding = padding
        self.columns = columns
        assert all(len(column) == len(self) for column in columns.values())

    def __len__(self) -> int:
        return len(self._lengths)

    def content_hash(self) -> str:
        """Return a hash of the token ids, row lengths and padding values."""
        digest = hashlib.sha256(repr(sorted(self._padding.items())).encode())
        for name, values in sorted({**self._flat, "": self._lengths}.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values.numpy()).data)
        return digest.hexdigest()

    def __getitem__(self, row: int) -> Batch:
        """One row, without padding and without the batch dimension."""
        return {name: column[0] for name, column in self.__getitems__([row]).items()}

    def __getitems__(self, rows: list[int]) -> Batch:
        """The batch of `rows`: tokens and `attention_mask` (B, S), long; every other column (B,)."""
        chosen = torch.tensor(rows)
        lengths = self._lengths[chosen]
        steps = torch.arange(int(lengths.max()))
        mask = steps < lengths.unsqueeze(1)
        positions = torch.where(mask, self._starts[chosen].unsqueeze(1) + steps, 0)
        batch = {
            name: torch.where(mask, flat[positions].long(), self._padding[name]) for name, flat in self._flat.items()
        }
        batch["attention_mask"] = mask.long()
        return batch | {name: column[chosen] for name, column in self.columns.items()}
