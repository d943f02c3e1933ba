"""How the gradients of K terms are obtained from one forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Row = list[Tensor | None]


def autograd_rows(terms: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
    """One `autograd.grad` call per term over a shared graph; the graph is freed by the last.

    For one device and for DDP (whose reducer never sees these calls, so the mean over ranks is taken explicitly by
    `mean_over_ranks`).

    Args:
        terms: K scalars.
        parameters: N tensors that require a gradient.

    Returns:
        K rows; `None` where a term does not reach a parameter.

    Raises:
        RuntimeError: the terms together reach no parameter at all: a strategy that shards parameters hides them from
            `autograd.grad`, and silent zeros would look like training.
    """
    connected = [term.requires_grad for term in terms]
    rows: list[Row] = []
    for position, term in enumerate(terms):
        if not connected[position]:
            rows.append([None] * len(parameters))
            continue
        keep_graph = any(connected[position + 1 :])
        gradients = torch.autograd.grad(term, parameters, retain_graph=keep_graph, allow_unused=True)
        rows.append(list(gradients))
    if all(gradient is None for row in rows for gradient in row):
        raise RuntimeError(
            "expected gradients for the model's parameters; found none for any term. The strategy hides the parameters "
            "from autograd.grad (FSDP does); use one device or DDP."
        )
    return rows


def mean_over_ranks(row: Row) -> Row:
    """Average a gradient row over all processes, in one collective per row.

    Every process must reach the same parameters, which holds because all run the same graph.
    """
    reached = [gradient for gradient in row if gradient is not None]
    if not reached:
        return row
    flat = torch.cat([gradient.reshape(-1) for gradient in reached])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    pieces = iter(torch.split(flat, [gradient.numel() for gradient in reached]))
    return [None if gradient is None else next(pieces).view_as(gradient) for gradient in row]
