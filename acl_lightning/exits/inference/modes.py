"""How a stream of batches is taken: one sample at a time, one batch at a time, or several batches together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

from acl_lightning.errors import UserError
from acl_lightning.exits.inference.decisions import Decisions
from acl_lightning.exits.inference.pack import by_length, gather_rows, lengths_of

#: Token ids (B, S) by name: `input_ids`, `attention_mask`, and `token_type_ids` where the model reads them.
Inputs = Mapping[str, Tensor]

#: Decides batches together, given the lengths of their samples. Answers are in the order of the samples.
Decide = Callable[[list[Inputs], list[list[int]]], Decisions]


class Mode(ABC):
    """A way to take a stream; the answers do not depend on it, apart from rounding."""

    @abstractmethod
    def decide(self, batches: Iterable[Inputs], decide: Decide) -> Iterator[Decisions]:
        """Yield the decisions of each batch, in order, reading no more of the stream than needed for that."""


class OneBatch(Mode):
    """Batch by batch, each in the order and with the neighbours it was given."""

    def decide(self, batches: Iterable[Inputs], decide: Decide) -> Iterator[Decisions]:
        """See `Mode.decide`."""
        for batch in batches:
            yield decide([batch], [lengths_of(batch["attention_mask"])])


class OneSample(Mode):
    """Sample by sample, each without padding: what a server does that answers requests as they come."""

    def decide(self, batches: Iterable[Inputs], decide: Decide) -> Iterator[Decisions]:
        """See `Mode.decide`."""
        for batch in batches:
            singles = [
                decide([{name: ids[row : row + 1, :length] for name, ids in batch.items()}], [[length]])
                for row, length in enumerate(lengths_of(batch["attention_mask"]))
            ]
            yield _joined(singles) if singles else decide([batch], [[]])


class Window(Mode):
    """Several batches together, layer by layer; their samples are sorted by length and re-packed as others leave.

    Memory is bounded by the window. An answer waits for the window to be full, so use it where nobody waits for one.

    Args:
        batches: how many are taken together.

    Raises:
        UserError: fewer than 1.
    """

    def __init__(self, batches: int = 8) -> None:
        if batches < 1:
            raise UserError("a window of 1 batch or more", f"{batches}", "The default is 8.")
        self.batches = batches

    def decide(self, batches: Iterable[Inputs], decide: Decide) -> Iterator[Decisions]:
        """See `Mode.decide`."""
        stream = iter(batches)
        while window := list(islice(stream, self.batches)):
            yield from _in_order(window, decide)


def _in_order(window: list[Inputs], decide: Decide) -> Iterator[Decisions]:
    """Decide the samples of a window sorted by length, and give the answers back batch by batch."""
    lengths = [lengths_of(batch["attention_mask"]) for batch in window]
    sizes = [len(rows) for rows in lengths]
    if not any(sizes):
        yield from (decide([batch], [[]]) for batch in window)
        return
    groups = by_length(lengths, max(sizes))
    lengths_of_groups = [[lengths[batch][row] for batch, row in members] for members in groups]
    packs: list[Inputs] = [
        {name: gather_rows([batch[name] for batch in window], members, max(longest)) for name in window[0]}
        for members, longest in zip(groups, lengths_of_groups, strict=True)
    ]
    decisions = decide(packs, lengths_of_groups)
    # (batch, row) ascending is the order of the input.
    order = torch.tensor([member for members in groups for member in members]).reshape(-1, 2)
    places = (order[:, 0] * max(sizes) + order[:, 1]).argsort().to(decisions.exit_B.device)
    yield from _split(decisions, places, sizes)


def _split(decisions: Decisions, places: Tensor, sizes: list[int]) -> Iterator[Decisions]:
    columns = (decisions.logits_BC, decisions.exit_B, decisions.exit_layer_B)
    parts = (torch.split_with_sizes(column[places], sizes) for column in columns)
    yield from (Decisions(*batch) for batch in zip(*parts, strict=True))


def _joined(singles: list[Decisions]) -> Decisions:
    return Decisions(
        torch.cat([single.logits_BC for single in singles]),
        torch.cat([single.exit_B for single in singles]),
        torch.cat([single.exit_layer_B for single in singles]),
    )


#: Name on command lines -> mode.
MODES: dict[str, Callable[[], Mode]] = {"latency": OneSample, "batch": OneBatch, "throughput": Window}


def mode_named(name: str) -> Mode:
    """The mode of a name, with its defaults.

    Raises:
        UserError: no such mode.
    """
    if name not in MODES:
        raise UserError(f"a mode among {', '.join(MODES)}", repr(name), "Choose one of them.")
    return MODES[name]()
