"""Modes of adaptive inference: sample by sample, batch by batch, or several batches together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.inference.decisions import Decisions
from acl_lightning.exits.inference.padded_batch import gather_rows, group_by_length, input_lengths

#: Inputs of the encoder by name: `input_ids`, `attention_mask` and, where the model has them, `token_type_ids`, each
#: (B, S); or `pixel_values` (B, channels, height, width).
Inputs = Mapping[str, Tensor]

#: Function that decides batches together, from the batches and the lengths of their samples. Its decisions are in the
#: order of the samples.
Decide = Callable[[list[Inputs], list[list[int]]], Decisions]


class Mode(ABC):
    """How a stream of batches is grouped for computation. Answers are the same in all modes, apart from rounding."""

    @abstractmethod
    def decide(self, batches: Iterable[Inputs], decide: Decide) -> Iterator[Decisions]:
        """Yield the decisions of each batch, in order. The stream is read no further ahead than the mode needs."""


class LatencyMode(Mode):
    """One sample at a time, without padding, like a server that answers each request when it arrives."""

    def decide(self, batches: Iterable[Inputs], decide: Decide) -> Iterator[Decisions]:
        """See `Mode.decide`."""
        for batch in batches:
            singles = [
                decide([{name: ids[row : row + 1, :length] for name, ids in batch.items()}], [[length]])
                for row, length in enumerate(input_lengths(batch))
            ]
            yield _concatenate(singles) if singles else decide([batch], [[]])


class BatchMode(Mode):
    """One batch at a time, with the samples and the padding of the stream."""

    def decide(self, batches: Iterable[Inputs], decide: Decide) -> Iterator[Decisions]:
        """See `Mode.decide`."""
        for batch in batches:
            yield decide([batch], [input_lengths(batch)])


class ThroughputMode(Mode):
    """Several batches together: samples are sorted by length, and merged into fewer batches as others leave.

    The first answer waits until all these batches have been read, so this mode suits data that is complete, such as a
    file. Memory grows with the number of batches taken together.

    Args:
        batches: Number of batches taken together, at least 1.

    Raises:
        UserError: `batches` is less than 1.
    """

    def __init__(self, batches: int = 8) -> None:
        if batches < 1:
            raise UserError("1 batch or more taken together", f"{batches}", "Set batches to 1 or more (default 8).")
        self.batches = batches

    def decide(self, batches: Iterable[Inputs], decide: Decide) -> Iterator[Decisions]:
        """See `Mode.decide`."""
        stream = iter(batches)
        while window := list(islice(stream, self.batches)):
            yield from _decide_sorted(window, decide)


def _decide_sorted(window: list[Inputs], decide: Decide) -> Iterator[Decisions]:
    """Decide the samples of several batches sorted by length, and yield the decisions in the order of the batches."""
    lengths = [input_lengths(batch) for batch in window]
    sizes = [len(rows) for rows in lengths]
    if not any(sizes):
        yield from (decide([batch], [[]]) for batch in window)
        return
    groups = group_by_length(lengths, max(sizes))
    lengths_of_groups = [[lengths[batch][row] for batch, row in members] for members in groups]
    merged: list[Inputs] = [
        {name: gather_rows([batch[name] for batch in window], members, max(longest)) for name in window[0]}
        for members, longest in zip(groups, lengths_of_groups, strict=True)
    ]
    decisions = decide(merged, lengths_of_groups)
    # Ascending (batch, row) is the order of the input.
    order = torch.tensor([member for members in groups for member in members]).reshape(-1, 2)
    places = (order[:, 0] * max(sizes) + order[:, 1]).argsort().to(decisions.exit_B.device)
    yield from _split(decisions, places, sizes)


def _split(decisions: Decisions, places: Tensor, sizes: list[int]) -> Iterator[Decisions]:
    columns = (decisions.logits_BC, decisions.exit_B, decisions.exit_layer_B)
    parts = (torch.split_with_sizes(column[places], sizes) for column in columns)
    yield from (Decisions(*batch) for batch in zip(*parts, strict=True))


def _concatenate(singles: list[Decisions]) -> Decisions:
    return Decisions(
        torch.cat([single.logits_BC for single in singles]),
        torch.cat([single.exit_B for single in singles]),
        torch.cat([single.exit_layer_B for single in singles]),
    )


#: Name of each mode on the command line -> function that returns it with default settings.
MODES: dict[str, Callable[[], Mode]] = {"latency": LatencyMode, "batch": BatchMode, "throughput": ThroughputMode}


def mode_named(name: str) -> Mode:
    """Return the mode `name` with default settings.

    Raises:
        UserError: There is no mode of that name.
    """
    if name not in MODES:
        raise UserError(f"a mode among {', '.join(MODES)}", repr(name), "Use latency, batch or throughput.")
    return MODES[name]()
