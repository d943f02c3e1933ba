"""A decision before the backward pass: the terms' gradients at a few tensors, and the weighted sum of the terms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from acl_lightning.errors import UserError
from acl_lightning.gradients.collect import Row, mean_over_ranks
from acl_lightning.gradients.products import products_with_protected


def proxy_rows(
    terms: Sequence[Tensor], tensors: Sequence[Tensor], *, average_ranks: bool, sums_over_ranks: bool
) -> tuple[list[Row], Tensor]:
    """Gradients of K terms at the tensors of a `Proxy`, and their products with the protected one; the graph is kept.

    Args:
        terms: K scalars.
        tensors: where to compare, in the graph of at least one term.
        average_ranks: there are other processes, whose terms count as much.
        sums_over_ranks: see `Proxy.sums_over_ranks`.

    Returns:
        K rows, and `<g_0, g_k>` (K,) of the mean of the processes' terms, float64 on the CPU.

    Raises:
        UserError: the tensors are sharded.
    """
    if any(isinstance(tensor, DTensor) for tensor in tensors):
        raise UserError(
            "a scope whose tensors are whole", "sharded parameters",
            "Take the scope AllParameters or Representation, or a strategy that does not shard.",
        )  # fmt: skip
    rows: list[Row] = []
    for term in terms:
        if term.requires_grad:
            rows.append(list(torch.autograd.grad(term, tensors, retain_graph=True, allow_unused=True)))
        else:
            rows.append([None] * len(tensors))
    if average_ranks and not sums_over_ranks:
        rows = [mean_over_ranks(row) for row in rows]
    products_K = products_with_protected(rows)
    if average_ranks and sums_over_ranks:
        on_device = products_K.to(tensors[0].device)
        distributed.all_reduce(on_device)
        # Each process has the gradients of its own terms, of whose mean the products are asked.
        products_K = on_device.cpu() / distributed.get_world_size() ** 2
    return rows, products_K


def weighted_total(terms: Sequence[Tensor], weights_K: Tensor) -> Tensor:
    """`sum_k w_k L_k`, without the terms of weight zero: a loss that is not a number must not reach the sum."""
    weighted = [
        term if weight == 1 else term * weight
        for term, weight in zip(terms, weights_K.tolist(), strict=True)
        if weight != 0
    ]
    return torch.stack(weighted).sum()
