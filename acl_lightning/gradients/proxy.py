"""Decision before the backward pass: gradients of the terms at a few tensors, and the weighted sum of the terms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor

from acl_lightning.distributed import mean_over_ranks
from acl_lightning.errors import UserError
from acl_lightning.gradients.collector import Row
from acl_lightning.gradients.products import products_with_protected


def proxy_rows(
    terms: Sequence[Tensor], tensors: Sequence[Tensor], *, average_ranks: bool, sums_over_ranks: bool
) -> tuple[list[Row], Tensor]:
    """Return the gradients of K terms at the tensors of a `Proxy` and their products with the first; keep the graph.

    Args:
        terms: K scalar losses.
        tensors: Tensors at which gradients are compared, in the graph of at least one term.
        average_ranks: Whether to average over several processes.
        sums_over_ranks: See `Proxy.sums_over_ranks`.

    Returns:
        K gradient rows, and the products `<g_0, g_k>` (K,) of the losses averaged over the processes, float64, on the
        CPU.

    Raises:
        UserError: The tensors are sharded.
    """
    if any(isinstance(tensor, DTensor) for tensor in tensors):
        raise UserError(
            "a scope whose tensors are not sharded", "sharded parameters",
            "Set model.gradient_scope to AllParameters or Representation, or trainer.strategy to ddp.",
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
        # Gradients are those of the losses of this process; the products are those of the mean over processes.
        products_K = on_device.cpu() / distributed.get_world_size() ** 2
    return rows, products_K


def weighted_total(terms: Sequence[Tensor], weights_K: Tensor) -> Tensor:
    """Return `sum_k w_k L_k` without terms of weight zero, so that their NaN does not reach the sum."""
    weighted = [
        term if weight == 1 else term * weight
        for term, weight in zip(terms, weights_K.tolist(), strict=True)
        if weight != 0
    ]
    return torch.stack(weighted).sum()
