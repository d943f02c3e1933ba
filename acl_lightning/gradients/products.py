"""Inner products and weighted sums of gradients that are kept as lists of tensors, one per parameter.

A gradient row is a list with one entry per parameter; `None` where the term does not reach the parameter. Nothing is
flattened: a flat copy of every row would double the memory of a step and buys nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

GradientRow = Sequence[Tensor | None]


def products_with_protected(rows: Sequence[GradientRow], members: Sequence[int] | None = None) -> Tensor:
    """`<g_0, g_k>` for every row k, over the parameters that *all* rows reach.

    A parameter that one term alone reaches (a head, a table of label embeddings) cannot conflict and is left out.

    Args:
        rows: K gradient rows.
        members: restrict the products to these parameters; all by default.

    Returns:
        (K,), float64, on the CPU: one synchronisation. Products that overflow float32 are taken again in float64, so a
        non-finite product means non-finite gradients (or gradients beyond 1e150).
    """
    indices = range(len(rows[0])) if members is None else members
    shared = [i for i in indices if all(row[i] is not None for row in rows)]
    columns = [[row[i] for i in shared] for row in rows]
    products = _products(columns, torch.float32)
    return products if products.isfinite().all() else _products(columns, torch.float64)


def _products(columns: list[list[Tensor | None]], dtype: torch.dtype) -> Tensor:
    if not columns[0]:
        return torch.zeros(len(columns), dtype=torch.float64)
    totals = []
    for column in columns:
        dots = [_dot(a, b, dtype) for a, b in zip(columns[0], column, strict=True)]
        totals.append(torch.stack(dots).sum())
    return torch.stack(totals).cpu()


def _dot(a: Tensor | None, b: Tensor | None, dtype: torch.dtype) -> Tensor:
    assert a is not None
    assert b is not None
    wide = torch.promote_types(a.dtype, dtype)
    return torch.dot(a.reshape(-1).to(wide), b.reshape(-1).to(wide)).double()


def combine(rows: Sequence[GradientRow], weights_K: Tensor, index: int) -> Tensor:
    """`sum_k weights[k] * rows[k][index]`, leaving out rows of weight zero and rows that do not reach the parameter.

    Returns:
        A tensor like the parameter; the row's own tensor where one row of weight 1 is all there is.
    """
    total: Tensor | None = None
    for row, weight in zip(rows, weights_K.tolist(), strict=True):
        gradient = row[index]
        if gradient is None or weight == 0:
            continue
        if total is None:
            total = gradient if weight == 1 else gradient * weight
        else:
            total = torch.add(total, gradient, alpha=weight)
    if total is None:
        reached = next(gradient for row in rows if (gradient := row[index]) is not None)
        total = torch.zeros_like(reached)
    return total
