"""Inner products and weighted sums of gradients that are kept as lists of tensors, one per parameter.

A gradient row is a list with an entry per parameter; `None` where the term does not reach the parameter. Rows are not
flattened, since a flat copy of every row would double the memory of a step.

A parameter is *shared* if the protected term (row 0) and at least one other term reach it. Parameters that a single
term reaches (a head, a table of label embeddings) cannot conflict.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

GradientRow = Sequence[Tensor | None]

#: Below this a float32 inner product may be wrong: each of up to 1e9 summands may have lost 1.2e-38.
SMALLEST_TRUSTED = 1e-28


def is_shared(rows: Sequence[GradientRow], index: int) -> bool:
    """Return whether row 0 and, if there are other rows, at least one of them reach parameter `index`."""
    others = rows[1:] or rows
    return rows[0][index] is not None and any(row[index] is not None for row in others)


def products_with_protected(rows: Sequence[GradientRow]) -> Tensor:
    """Return `<g_0, g_k>` for every row k over the shared parameters: (K,), float64, on the CPU.

    For k > 0 this equals the product over all parameters, since a missing gradient is zero. The first is `|g_0|^2`
    without the parameters that only the protected term reaches.

    Args:
        rows: K gradient rows.
    """
    return products_by_parameter(rows).sum(dim=1)


def products_by_parameter(rows: Sequence[GradientRow]) -> Tensor:
    """Return `<g_0, g_k>` for every parameter: (K, N), float64, on the CPU.

    Zero where the parameter is not shared or row k does not reach it. Sharded gradients (`DTensor`) give the product
    over all shards. The device is synchronised once.

    Where a sum over the parameters overflows float32, or is so small that its summands may have vanished in float32,
    all products are computed again in float64. A non-finite product therefore means non-finite gradients (or gradients
    above 1e150), and gradients of 1e-25 keep their signs.
    """
    products_KN = _products(rows, torch.float32)
    products_K = products_KN.sum(dim=1)
    apart_K = torch.tensor([not _meets(rows, row) for row in rows])  # nothing was summed: exactly zero
    trusted = apart_K | (products_K.isfinite() & (products_K.abs() >= SMALLEST_TRUSTED))
    return products_KN if trusted.all() else _products(rows, torch.float64)


def _meets(rows: Sequence[GradientRow], row: GradientRow) -> bool:
    """Return whether `row` reaches a shared parameter."""
    return any(gradient is not None and is_shared(rows, index) for index, gradient in enumerate(row))


def _products(rows: Sequence[GradientRow], dtype: torch.dtype) -> Tensor:
    products_KN = torch.zeros(len(rows), len(rows[0]), dtype=torch.float64)
    places, dots = [], []
    for index in range(len(rows[0])):
        if not is_shared(rows, index):
            continue
        for k, row in enumerate(rows):
            if row[index] is not None:
                places.append((k, index))
                dots.append(_dot(rows[0][index], row[index], dtype))
    if dots:
        ks, indices = zip(*places, strict=True)
        products_KN[list(ks), list(indices)] = torch.stack(dots).cpu()
    return products_KN


def _dot(a: Tensor | None, b: Tensor | None, dtype: torch.dtype) -> Tensor:
    assert a is not None
    assert b is not None
    wide = torch.promote_types(a.dtype, dtype)
    if isinstance(a, DTensor):
        whole: Tensor = (a.to(wide) * b.to(wide)).sum().full_tensor()  # type: ignore[attr-defined]
        return whole.double()
    return torch.dot(a.reshape(-1).to(wide), b.reshape(-1).to(wide)).double()


def combine(rows: Sequence[GradientRow], weights_K: Tensor, index: int, *, in_place: bool = False) -> Tensor:
    """Return `sum_k weights[k] * rows[k][index]` without rows of weight zero and rows that miss the parameter.

    If the parameter is not shared, row 0 has weight 1, because the part of the first weight above 1 is a projection
    along `g_0` over the shared parameters.

    Args:
        rows: K gradient rows, at least one of which reaches the parameter.
        weights_K: Weights that a `GradientRule` returned.
        index: Index of the parameter.
        in_place: Write the sum into the tensor of the first row of the sum, which must not share memory.

    Returns:
        A tensor like the parameter; the tensor of the row itself if the sum consists of a single row with weight 1.
    """
    weights = weights_K.tolist()
    if not is_shared(rows, index):
        weights[0] = 1.0
    total: Tensor | None = None
    for row, weight in zip(rows, weights, strict=True):
        gradient = row[index]
        if gradient is None or weight == 0:
            continue
        if total is not None:
            total = total.add_(gradient, alpha=weight) if in_place else total.add(gradient, alpha=weight)
        elif weight == 1:
            total = gradient
        else:
            total = gradient.mul_(weight) if in_place else gradient * weight
    if total is None:
        reached = next(gradient for row in rows if (gradient := row[index]) is not None)
        total = torch.zeros_like(reached)
    return total
