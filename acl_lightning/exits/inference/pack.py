"""Samples that pass through a layer together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from acl_lightning.encoders import TokenState


@dataclass(frozen=True)
class Pack:
    """A batch of tokens on its way, and which samples they belong to.

    Attributes:
        samples: numbers of the samples, one per row of `state`.
        lengths: tokens of each.
        state: their tokens; as many columns as the longest has, or more.
    """

    samples: list[int]
    lengths: list[int]
    state: TokenState

    @property
    def num_tokens(self) -> int:
        """Rows of a layer's matrix products, padding included."""
        rows, columns = self.state.hidden_BSD.shape[:2]
        return rows * columns

    def samples_R(self) -> Tensor:
        """`samples` as a tensor beside the tokens."""
        return torch.tensor(self.samples, device=self.state.hidden_BSD.device)


def lengths_of(attention_mask_BS: Tensor) -> list[int]:
    """Number of columns up to the last token of each sample, at least 1. The host waits for the device."""
    if not len(attention_mask_BS):
        return []
    positions_S = torch.arange(1, attention_mask_BS.shape[1] + 1, device=attention_mask_BS.device)
    lengths: list[int] = (attention_mask_BS.bool() * positions_S).amax(dim=1).clamp(min=1).tolist()
    return lengths


def by_length(lengths: Sequence[Sequence[int]], size: int) -> list[list[tuple[int, int]]]:
    """Cut rows of several batches into groups of at most `size`, the shortest first.

    Args:
        lengths: of the rows of each batch.
        size: of a group; the last may be smaller.

    Returns:
        Groups of (batch, row), in the order of batches within a group.
    """
    order = sorted((length, batch, row) for batch, rows in enumerate(lengths) for row, length in enumerate(rows))
    groups = (order[start : start + size] for start in range(0, len(order), size))
    return [sorted((batch, row) for _, batch, row in group) for group in groups]


def gather_rows(sources: Sequence[Tensor], members: Sequence[tuple[int, int]], columns: int) -> Tensor:
    """Rows of several batches [(B_i, S_i, ...)] as one batch (R, columns, ...): cut, or filled with zeros.

    Args:
        sources: the batches.
        members: (batch, row) of each row, in the order of batches.
        columns: of the result.
    """
    pieces = []
    for batch in dict.fromkeys(batch for batch, _ in members):
        source = sources[batch][:, :columns]
        rows = torch.tensor([row for of, row in members if of == batch], device=source.device)
        missing = columns - source.shape[1]
        pieces.append(pad(source[rows], (*(0, 0) * (source.dim() - 2), 0, missing)) if missing else source[rows])
    return torch.cat(pieces)


def repacked(packs: Sequence[Pack], size: int) -> list[Pack]:
    """The same samples in as few packs of at most `size` samples as hold them, sorted by length.

    Packs are left as they are where there would not be fewer of them: then moving tokens saves nothing.
    """
    total = sum(len(pack.samples) for pack in packs)
    if len(packs) <= -(-total // size):
        return list(packs)
    groups = by_length([pack.lengths for pack in packs], size)
    return [_gathered(packs, members) for members in groups]


def _gathered(packs: Sequence[Pack], members: Sequence[tuple[int, int]]) -> Pack:
    lengths = [packs[number].lengths[row] for number, row in members]
    samples = [packs[number].samples[row] for number, row in members]
    hidden_RSD = gather_rows([pack.state.hidden_BSD for pack in packs], members, max(lengths))
    mask_RS = gather_rows([_mask(pack.state) for pack in packs], members, max(lengths))
    unpadded = mask_RS.device.type == "cpu" and bool(mask_RS.all())  # as in `Backbone.embed`: no mask is faster there
    return Pack(samples, lengths, TokenState(hidden_RSD, None if unpadded else mask_RS))


def _mask(state: TokenState) -> Tensor:
    if state.mask_BS is not None:
        return state.mask_BS
    return torch.ones(state.hidden_BSD.shape[:2], dtype=torch.bool, device=state.hidden_BSD.device)
