"""`AdaptiveSession`: adaptive inference with a package, on onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal, TypeAlias

import numpy as np

from acl_lightning.errors import UserError
from acl_lightning.serving.answers import Answers, answers_of
from acl_lightning.serving.criteria import Floats, ServedCriterion, served_criterion
from acl_lightning.serving.manifest import FULL_DEPTH, Manifest, ServedPoint, read_manifest
from acl_lightning.serving.packing import first_group
from acl_lightning.serving.segments import SegmentSessions
from acl_lightning.serving.stepper import DecisionTable, step
from acl_lightning.serving.tokens import MAX_CHARACTERS, Text, TextEncoder, TokenBatch

Mode: TypeAlias = Literal["latency", "batch", "throughput"]

MODES: tuple[Mode, ...] = ("latency", "batch", "throughput")

#: Number of tokens in a batch (padding included) from which an exit is read before the rest of its layer.
ROW_FIRST_TOKENS = 128

#: Number of batches that the mode `throughput` sorts together.
BATCHES = 8

#: Largest number of tokens (padding included) of the batches that are computed together. With a width of 384 the hidden
#: states, keys and values of 32768 tokens take 150 MB.
MOST_TOKENS = 32768


class AdaptiveSession:
    """A package, ready to answer: texts in, labels out; samples that leave at an early exit are not computed further.

    A session may be used by several threads at once, and a call may set another operating point and mode: nothing of a
    call is kept in the session. Answers do not depend on the mode, apart from rounding; but int8 graphs quantize the
    activations of a batch together, so that an answer depends on the other samples of its batch (docs/serving.md).

    - `latency`: one sample at a time, without padding (requests that arrive one by one);
    - `batch`: `batch_size` consecutive samples at a time, padded to the longest;
    - `throughput`: several batches together, sorted by length and merged as samples leave (whole files).

    Memory is bounded by `batch_size`, the truncation length and `MOST_TOKENS`, whatever the number of texts; the
    answers themselves are kept. `stream` reads an iterable of any size.

    Args:
        directory: Directory that `export --format onnx` wrote.
        operating_point: Name of an operating point (`session.manifest.points`); None or `full_depth`: all layers.
        mode: See above.
        threads: Number of threads of an operator.
        providers: Execution providers of onnxruntime, the preferred first.
        batch_size: Number of samples in a batch.
        max_characters: Largest number of characters of a sample. Longer samples are refused; those with more tokens
            than the model was trained on are truncated as in training.
        check_files: Whether to compare the SHA-256 of every file of the package; otherwise only its size.

    Attributes:
        manifest: Manifest of the package: label names, operating points, versions and measurements.
        encoder: Tokenizer of the package: `session.encoder(texts)` returns a `TokenBatch`.

    Raises:
        UserError: The directory is no undamaged package of this version, there is no such operating point, mode or
            provider, or a number is less than 1.

    Example:
        ::

            from acl_lightning.serving import AdaptiveSession

            session = AdaptiveSession("DIR", operating_point="drop1", mode="throughput", threads=2)
            answers = session(["A fine film.", "Dull from start to end."])
            print(answers.labels, answers.probabilities, answers.exit_layers)

            tokens = session.encoder(["A fine film."])  # tokenised once ...
            session.decide(tokens, operating_point="drop2", mode="latency")  # ... and decided
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        operating_point: str | None = None,
        mode: Mode = "batch",
        *,
        threads: int = 1,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        batch_size: int = 32,
        max_characters: int = MAX_CHARACTERS,
        check_files: bool = True,
    ) -> None:
        self.manifest: Manifest = read_manifest(directory, check_files=check_files)
        # Read once: a single text passes through all layers in less than a millisecond.
        self._layer_E = np.array(self.manifest.exit_layers, dtype=np.int64)
        self._label_names = self.manifest.label_names
        self._points = {name: _Decision(self.manifest.point(name)) for name in self.manifest.points}
        self._points[FULL_DEPTH] = _Decision(self.manifest.point(None))
        self.operating_point = operating_point or FULL_DEPTH
        self.mode: Mode = mode
        self._point(self.operating_point)
        _check_mode(mode)
        if batch_size < 1:
            raise UserError("1 sample or more in a batch", f"{batch_size}", "Set batch_size=32.")
        self.batch_size = batch_size
        self.encoder = TextEncoder(self.manifest, max_characters)
        self._segments = SegmentSessions(self.manifest, threads, providers)
        self._segments.variant("whole" if mode == "latency" else "row_first")

    def __call__(
        self, texts: Iterable[Text], *, operating_point: str | None = None, mode: Mode | None = None
    ) -> Answers:
        """Answer texts, or pairs of texts where the model was trained on pairs.

        Args:
            texts: Samples. An empty text is valid, and so is an empty list.
            operating_point: Operating point of this call; None: that of the session.
            mode: Mode of this call; None: that of the session.

        Raises:
            UserError: A sample is not a text or is too long, or there is no such operating point or mode.
        """
        if isinstance(texts, str):
            raise UserError("a list of texts", "a single string", "Pass [text].")
        parts = list(self.stream(texts, operating_point=operating_point, mode=mode))
        return _joined(parts) if parts else self.decide(self.encoder([]))

    def stream(
        self, texts: Iterable[Text], *, operating_point: str | None = None, mode: Mode | None = None
    ) -> Iterator[Answers]:
        """Yield the answers for a stream of texts, part by part in the order of the input, in bounded memory.

        A part has `batch_size` samples, 8 times as many in the mode `throughput`; the last part may have fewer. The
        stream is read no further ahead than one part.

        Args:
            texts: Samples; the stream may be endless.
            operating_point: Operating point of this call; None: that of the session.
            mode: Mode of this call; None: that of the session.

        Raises:
            UserError: See `__call__`; while iterating.
        """
        remaining = iter(texts)
        rows = self.batch_size * (BATCHES if (mode or self.mode) == "throughput" else 1)
        while part := list(islice(remaining, rows)):
            yield self.decide(self.encoder(part), operating_point=operating_point, mode=mode)

    def decide(
        self,
        tokens: TokenBatch | Mapping[str, object],
        *,
        operating_point: str | None = None,
        mode: Mode | None = None,
    ) -> Answers:
        """Answer samples that are tokenised already.

        Args:
            tokens: What `session.encoder` returned, or arrays of integers (B, S) by name: `input_ids`,
                `attention_mask` and optionally `token_type_ids`, padded on the right.
            operating_point: Operating point of this call; None: that of the session.
            mode: Mode of this call; None: that of the session.

        Raises:
            UserError: Arrays do not fit, or there is no such operating point or mode.
        """
        batch = tokens if isinstance(tokens, TokenBatch) else self.encoder.padded(tokens)
        point = self._point(operating_point or self.operating_point)
        table = self._table(batch, point, mode or self.mode)
        logits_NC = _answers(table, point.criterion, max(1, len(self._label_names)))
        return answers_of(logits_NC, table.exit_N, self._layer_E, self._label_names, point.temperatures_E)

    def exit_logits(self, tokens: TokenBatch | Mapping[str, object]) -> DecisionTable:
        """Return the logits of every exit for every sample, for a sweep: no sample leaves early."""
        batch = tokens if isinstance(tokens, TokenBatch) else self.encoder.padded(tokens)
        return self._table(batch, self._points[FULL_DEPTH], self.mode)

    def _point(self, name: str) -> _Decision:
        if name not in self._points:
            self.manifest.point(name)  # raises, with the names that exist
        return self._points[name]

    def _table(self, batch: TokenBatch, point: _Decision, mode: Mode) -> DecisionTable:
        """Decide a batch of any size in parts of bounded size."""
        _check_mode(mode)
        table = DecisionTable(len(self._layer_E), len(batch))
        batches = self._parts(batch, mode)
        windows = _together(batches, batch.lengths) if mode == "throughput" else ([part] for part in batches)
        for parts in windows:
            tokens = sum(_num_tokens(part, batch.lengths) for part in parts)
            row_first = tokens / len(parts) >= ROW_FIRST_TOKENS
            segments = self._segments.variant("row_first" if row_first else "whole")
            groups = [first_group(part, batch.select(part)) for part in parts]
            step(segments, groups, point.criterion, point.threshold, table, max(map(len, parts)))
        return table

    def _parts(self, batch: TokenBatch, mode: Mode) -> list[list[int]]:
        """Return the numbers of the samples of each batch that the mode forms."""
        samples = list(range(len(batch)))
        size = 1 if mode == "latency" else self.batch_size
        if mode == "throughput":
            samples.sort(key=lambda sample: batch.lengths[sample])
        return [samples[start : start + size] for start in range(0, len(samples), size)]


class _Decision:
    """Criterion, threshold and temperatures of an operating point."""

    def __init__(self, point: ServedPoint) -> None:
        self.criterion: ServedCriterion = served_criterion(point.criterion)
        self.threshold = point.threshold
        temperatures = point.temperatures
        self.temperatures_E = None if temperatures is None else np.array(temperatures, dtype=np.float32)


def _answers(table: DecisionTable, criterion: ServedCriterion, num_classes: int) -> Floats:
    """Return the logits (N, C) by which the samples of a table are answered."""
    logits_ENC = table.logits_ENC
    if logits_ENC is None:
        return np.zeros((0, num_classes), dtype=np.float32)
    exits = set(table.exit_N.tolist())
    if len(exits) == 1:
        return criterion.answer(logits_ENC[: exits.pop() + 1])
    logits_NC: Floats = np.empty_like(logits_ENC[0])
    for exit_ in exits:
        rows = np.flatnonzero(table.exit_N == exit_)
        logits_NC[rows] = criterion.answer(logits_ENC[: exit_ + 1, rows])
    return logits_NC


def _together(parts: list[list[int]], lengths: Sequence[int]) -> Iterator[list[list[int]]]:
    """Yield consecutive batches that are computed together: as many as `MOST_TOKENS` allows, at least one."""
    window: list[list[int]] = []
    tokens = 0
    for part in parts:
        more = _num_tokens(part, lengths)
        if window and tokens + more > MOST_TOKENS:
            yield window
            window, tokens = [], 0
        window.append(part)
        tokens += more
    if window:
        yield window


def _num_tokens(part: Sequence[int], lengths: Sequence[int]) -> int:
    return len(part) * max(lengths[sample] for sample in part)


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise UserError(f"a mode among {', '.join(MODES)}", f"{mode!r}", "Set mode to latency, batch or throughput.")


def _joined(parts: Sequence[Answers]) -> Answers:
    if len(parts) == 1:
        return parts[0]
    return Answers(
        tuple(label for part in parts for label in part.labels),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.exit_layers for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )
