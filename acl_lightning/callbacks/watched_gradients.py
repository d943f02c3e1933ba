"""Gradients of a graph that somebody else still needs, and their inner products source by source."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from acl_lightning.callbacks.angles import pair_products
from acl_lightning.gradients import Row, mean_over_ranks


def gradient_row(term: Tensor, sources: Sequence[Tensor], world_size: int = 1) -> Row:
    """Gradient of a term at the sources. The graph stays as it is, and so does every `.grad`.

    Args:
        term: a scalar.
        sources: parameters, and at the end the embeddings of this process's samples.
        world_size: with several processes the parameters' gradients are averaged over them; the embeddings get what
            is theirs in that mean.
    """
    if not term.requires_grad:
        return [None] * len(sources)
    *row, at_embeddings = torch.autograd.grad(term, sources, retain_graph=True, allow_unused=True)
    if world_size == 1:
        return [*row, at_embeddings]
    return [*mean_over_ranks(list(row)), None if at_embeddings is None else at_embeddings / world_size]


def compared(protected: Row, term: Row, world_size: int = 1) -> dict[int, Tensor]:
    """`(<p, p>, <p, t>, <t, t>)` of two gradients p and t, for every source that both reach.

    Args:
        protected: what `gradient_row` found for the protected term.
        term: and for another.
        world_size: the products at the embeddings are summed over the processes, whose samples differ.

    Returns:
        Index of the source -> (3,), float64, on the CPU.
    """
    products_N3 = pair_products(protected, term).T.contiguous()
    if world_size > 1 and (at_embeddings := term[-1]) is not None:
        summed = products_N3[-1].to(at_embeddings.device)
        torch.distributed.all_reduce(summed)
        products_N3[-1] = summed.cpu()
    pairs = enumerate(zip(protected, term, strict=True))
    return {index: products_N3[index] for index, (p, t) in pairs if p is not None and t is not None}
