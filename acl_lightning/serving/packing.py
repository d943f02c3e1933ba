"""Groups of samples between two segments, and their re-packing into fewer groups as samples leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acl_lightning.serving.tensors import State, Tensor
from acl_lightning.serving.tokens import TokenBatch

#: Axis of the tokens in the tensors of a state that do not have it second: keys and values are (B, heads, S, d).
LENGTH_AXIS = {"keys": 2, "values": 2}


@dataclass(slots=True)
class Group:
    """Samples that are computed together.

    Attributes:
        samples: Number of the sample in each row.
        lengths: Number of tokens of each sample.
        state: Tensors that enter the next segment.
    """

    samples: list[int]
    lengths: list[int]
    state: State


def first_group(samples: Sequence[int], tokens: TokenBatch) -> Group:
    """Return the group of a batch of token ids."""
    state = {name: Tensor.of(values) for name, values in tokens.arrays.items()}
    return Group(list(samples), list(tokens.lengths), state)


def repacked(groups: Sequence[Group], staying: Sequence[list[int]], size: int) -> list[Group]:
    """Return the samples that stay, in groups of at most `size`.

    Where fewer groups suffice, all samples are sorted by length and distributed anew, in a single copy; else each group
    is narrowed to its samples and their longest length. A group that all samples stay in is passed on without a copy.

    Args:
        groups: Groups after a segment.
        staying: Rows that stay, of each group.
        size: Largest number of samples in a group.
    """
    if len(groups) == 1:
        return [_narrowed(groups[0], staying[0])] if staying and staying[0] else []
    occupied = [(group, rows) for group, rows in zip(groups, staying, strict=True) if rows]
    total = sum(len(rows) for _, rows in occupied)
    if len(occupied) <= -(-total // size):
        return [_narrowed(group, rows) for group, rows in occupied]
    sources = [group for group, _ in occupied]
    order = sorted((group.lengths[row], number, row) for number, (group, rows) in enumerate(occupied) for row in rows)
    members = [(number, row) for _, number, row in order]
    return [_gathered(sources, members[start : start + size]) for start in range(0, total, size)]


def _narrowed(group: Group, rows: list[int]) -> Group:
    if len(rows) == len(group.samples):
        return group
    return _gathered([group], [(0, row) for row in rows])


def _gathered(sources: Sequence[Group], members: Sequence[tuple[int, int]]) -> Group:
    """Copy the rows `members`, each (source, row), into a new group, as long as the longest of them."""
    lengths = [sources[number].lengths[row] for number, row in members]
    samples = [sources[number].samples[row] for number, row in members]
    state = {name: _gathered_rows(name, sources, members, max(lengths)) for name in sources[0].state}
    return Group(samples, lengths, state)


def _gathered_rows(name: str, sources: Sequence[Group], members: Sequence[tuple[int, int]], longest: int) -> Tensor:
    """Copy rows of a tensor of each source into one tensor with `longest` tokens, padded with zeros."""
    device = sources[0].state[name].value.device_name().lower()
    tensors = [source.state[name].value.numpy() for source in sources]
    axis = LENGTH_AXIS.get(name, 1)
    shape = list(tensors[0].shape)
    shape[0], shape[axis] = len(members), longest
    rows = np.empty(shape, dtype=tensors[0].dtype)
    ahead = (slice(None),) * (axis - 1)
    for target, (number, row) in zip(rows, members, strict=True):
        source = tensors[number][row]
        width = min(source.shape[axis - 1], longest)
        target[(*ahead, slice(width))] = source[(*ahead, slice(width))]
        if width < longest:
            target[(*ahead, slice(width, None))] = 0
    return Tensor.of(rows, device)
