"""Texts to token ids: checks, tokenisation and padding."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from acl_lightning.errors import UserError
from acl_lightning.serving.manifest import TOKENIZER, Manifest

#: Largest number of characters of a sample, by default. Longer texts are refused before they are tokenised.
MAX_CHARACTERS = 1_000_000

#: A text, or the two texts of a pair.
Text: TypeAlias = str | tuple[str, str]

#: Integers, such as token ids.
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class TokenBatch:
    """Token ids of B samples, padded on the right.

    Attributes:
        arrays: Input name (`input_ids`, `attention_mask`, `token_type_ids`) -> values (B, S).
        lengths: Number of tokens of each sample.
    """

    arrays: Mapping[str, Integers]
    lengths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, samples: Sequence[int]) -> TokenBatch:
        """Return some samples, without the columns that are padding for all of them."""
        if len(samples) == len(self) == 1:
            return self  # a single text, whose latency counts
        lengths = tuple(self.lengths[sample] for sample in samples)
        longest = max(lengths, default=1)
        rows = np.asarray(samples, dtype=np.int64)
        return TokenBatch({name: values[rows, :longest] for name, values in self.arrays.items()}, lengths)


class TextEncoder:
    """Tokenizer of a package, with the truncation of training. Usable by several threads at once.

    Args:
        manifest: Manifest of the package.
        max_characters: Largest number of characters of a sample.

    Raises:
        UserError: The tokenizer cannot be read.
    """

    def __init__(self, manifest: Manifest, max_characters: int = MAX_CHARACTERS) -> None:
        self.inputs, self.text_columns = manifest.inputs, manifest.text_columns
        self.pad_token_id, self.max_length = manifest.pad_token_id, manifest.max_length
        self.max_characters = max_characters
        path = manifest.directory / TOKENIZER
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises the base class only
            raise UserError(f"a tokenizer in {path}", f"{error}", "Export the run again.") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)

    def __call__(self, texts: Sequence[Text]) -> TokenBatch:
        """Tokenise texts, or pairs of texts where the model was trained on pairs. An empty text is valid.

        Raises:
            UserError: A sample is not a text (or pair), has more than `max_characters` characters, or holds
                characters that are not Unicode text.
        """
        for number, text in enumerate(texts):
            self.check(text, number)
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        ids = [encoding.ids for encoding in encodings]
        columns = {"input_ids": (ids, self.pad_token_id)}
        if "token_type_ids" in self.inputs:
            columns["token_type_ids"] = ([encoding.type_ids for encoding in encodings], 0)
        lengths = tuple(map(len, ids))
        longest = max(lengths, default=1)
        arrays = {name: _padded(rows, longest, padding) for name, (rows, padding) in columns.items()}
        arrays["attention_mask"] = (np.arange(longest) < np.array(lengths, dtype=np.int64)[:, None]).astype(np.int64)
        return TokenBatch(arrays, lengths)

    def check(self, text: object, number: int = 0) -> None:
        """Raise `UserError` unless a sample can be tokenised; `number` is its position, for the message."""
        single = len(self.text_columns) == 1
        parts = (text,) if single else text
        shape = "a string" if single else f"a pair of strings ({', '.join(self.text_columns)})"
        if not isinstance(parts, tuple | list) or len(parts) != len(self.text_columns):
            remedy = f"Pass a list of pairs: [[{', '.join(map(json.dumps, self.text_columns))}], ...]."
            raise UserError(f"{shape} as sample {number}", _kind(text), remedy)
        for part in parts:
            if not isinstance(part, str):
                is_list = single and isinstance(part, tuple | list)
                remedy = "Pass one string per sample." if is_list else "Convert it to a string first."
                raise UserError(f"{shape} as sample {number}", _kind(part), remedy)
            if len(part) > self.max_characters:
                raise UserError(
                    f"at most {self.max_characters} characters in sample {number}",
                    f"{len(part)}",
                    f"Shorten it (the model reads {self.max_length} tokens), or set max_characters={len(part)}.",
                )
            try:
                part.encode()
            except UnicodeEncodeError as error:
                raise UserError(
                    f"Unicode text as sample {number}",
                    f"the character {part[error.start]!r} at position {error.start}",
                    "Decode the file as UTF-8, with errors='replace' where it is damaged.",
                ) from None

    def padded(self, tokens: Mapping[str, object]) -> TokenBatch:
        """Return a batch that was tokenised elsewhere: `input_ids`, `attention_mask` and optionally `token_type_ids`.

        Args:
            tokens: Name -> integers (B, S), padded on the right.

        Raises:
            UserError: An input is missing, an array has another shape, or there are more tokens than `max_length`.
        """
        if "input_ids" not in tokens:
            raise UserError("the array input_ids", f"{', '.join(tokens) or 'none'}", "Pass the tokenizer's output.")
        ids_BS = np.asarray(tokens["input_ids"])
        defaults = {"attention_mask": np.ones_like(ids_BS), "token_type_ids": np.zeros_like(ids_BS)}
        arrays = {name: np.asarray(tokens.get(name, defaults.get(name))) for name in self.inputs}
        for name, values in arrays.items():
            if values.ndim != 2 or values.shape != ids_BS.shape or values.dtype.kind not in "iub":
                shape = f"{values.dtype} {values.shape}"
                raise UserError(f"integers (B, S) as {name}, as input_ids has", shape, "Pad the rows to one length.")
        mask_BS = arrays["attention_mask"] != 0
        lengths = np.where(mask_BS, np.arange(1, ids_BS.shape[1] + 1), 1).max(axis=1, initial=1)
        if len(ids_BS) and lengths.max() > self.max_length:
            raise UserError(
                f"at most {self.max_length} tokens per sample", f"{lengths.max()}", "Truncate the texts like training."
            )
        longest = int(lengths.max(initial=1))
        narrowed = {name: values[:, :longest].astype(np.int64) for name, values in arrays.items()}
        return TokenBatch(narrowed, tuple(lengths.tolist()))


def _padded(rows: Sequence[Sequence[int]], longest: int, padding: int) -> Integers:
    values = np.full((len(rows), longest), padding, dtype=np.int64)
    for number, row in enumerate(rows):
        values[number, : len(row)] = row
    return values


def _kind(value: object) -> str:
    """Describe a value by its type and length."""
    return f"{type(value).__name__}{f' of {len(value)}' if isinstance(value, tuple | list) else ''}"
