"""Batches of padded samples between two layers, and their re-packing into fewer batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from acl_lightning.encoders import TokenState


@dataclass(frozen=True)
class PaddedBatch:
    """Hidden states of some samples, padded to a common length.

    Attributes:
        samples: Number of the sample in each of the R rows.
        lengths: Number of tokens of each sample.
        state: Hidden states (R, S, D) and mask (R, S). S is at least the largest length.
    """

    samples: list[int]
    lengths: list[int]
    state: TokenState

    @property
    def num_tokens(self) -> int:
        """Return R * S, padding included: the number of rows in the matrix products of a layer."""
        rows, columns = self.state.hidden_BSD.shape[:2]
        return rows * columns

    def samples_R(self) -> Tensor:
        """Return `samples` as a tensor on the device of the hidden states."""
        return torch.tensor(self.samples, device=self.state.hidden_BSD.device)


def lengths_of(attention_mask_BS: Tensor) -> list[int]:
    """Return the number of columns up to the last token of each sample, at least 1. Synchronizes with the device."""
    if not len(attention_mask_BS):
        return []
    positions_S = torch.arange(1, attention_mask_BS.shape[1] + 1, device=attention_mask_BS.device)
    lengths: list[int] = (attention_mask_BS.bool() * positions_S).amax(dim=1).clamp(min=1).tolist()
    return lengths


def input_lengths(inputs: Mapping[str, Tensor]) -> list[int]:
    """Return the number of columns of each sample that are not padding, see `lengths_of`.

    Inputs without mask, such as images, have no padding: all of their second dimension belongs to the sample.
    """
    mask_BS = inputs.get("attention_mask")
    if mask_BS is not None:
        return lengths_of(mask_BS)
    first = next(iter(inputs.values()))
    return [first.shape[1]] * len(first)


def group_by_length(lengths: Sequence[Sequence[int]], size: int) -> list[list[tuple[int, int]]]:
    """Sort the rows of several batches by length and cut them into groups of `size`, the shortest first.

    Args:
        lengths: Length of each row of each batch.
        size: Number of rows in a group; the last group may have fewer.

    Returns:
        Groups of (batch, row), in ascending order within a group.
    """
    order = sorted((length, batch, row) for batch, rows in enumerate(lengths) for row, length in enumerate(rows))
    groups = (order[start : start + size] for start in range(0, len(order), size))
    return [sorted((batch, row) for _, batch, row in group) for group in groups]


def gather_rows(sources: Sequence[Tensor], members: Sequence[tuple[int, int]], columns: int) -> Tensor:
    """Copy rows of several tensors (B_i, S_i, ...) into one tensor (R, columns, ...), cut or padded with zeros.

    Args:
        sources: The tensors.
        members: (tensor, row) of each of the R rows, in ascending order.
        columns: Number of columns of the result.
    """
    pieces = []
    for batch in dict.fromkeys(batch for batch, _ in members):
        source = sources[batch][:, :columns]
        rows = torch.tensor([row for member, row in members if member == batch], device=source.device)
        missing = columns - source.shape[1]
        pieces.append(pad(source[rows], (*(0, 0) * (source.dim() - 2), 0, missing)) if missing else source[rows])
    return torch.cat(pieces)


def repack(batches: Sequence[PaddedBatch], size: int) -> list[PaddedBatch]:
    """Sort the samples by length and distribute them over as few batches of at most `size` samples as possible.

    The batches are returned unchanged where their number would stay the same: copying hidden states would save nothing.
    """
    total = sum(len(batch.samples) for batch in batches)
    if len(batches) <= -(-total // size):
        return list(batches)
    groups = group_by_length([batch.lengths for batch in batches], size)
    return [_gather(batches, members) for members in groups]


def _gather(batches: Sequence[PaddedBatch], members: Sequence[tuple[int, int]]) -> PaddedBatch:
    """Return the rows `members`, each (batch, row), as one batch."""
    lengths = [batches[number].lengths[row] for number, row in members]
    samples = [batches[number].samples[row] for number, row in members]
    hidden_RSD = gather_rows([batch.state.hidden_BSD for batch in batches], members, max(lengths))
    mask_RS = gather_rows([_mask(batch.state) for batch in batches], members, max(lengths))
    unpadded = mask_RS.device.type == "cpu" and bool(mask_RS.all())  # as in `Backbone.embed`: no mask is faster there
    return PaddedBatch(samples, lengths, TokenState(hidden_RSD, None if unpadded else mask_RS))


def _mask(state: TokenState) -> Tensor:
    """Return the mask (R, S); True everywhere for a state without mask."""
    if state.mask_BS is not None:
        return state.mask_BS
    return torch.ones(state.hidden_BSD.shape[:2], dtype=torch.bool, device=state.hidden_BSD.device)
