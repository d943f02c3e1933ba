"""From inner products of gradients to the angle between them."""

from __future__ import annotations

import torch
from torch import Tensor

from acl_lightning.gradients import Row, products_by_parameter


def pair_products(first: Row, second: Row) -> Tensor:
    """`|a|^2`, `<a, b>` and `|b|^2` at every parameter that both reach, zero elsewhere: (3, N), float64, on the CPU."""
    squares_N, products_N = products_by_parameter([first, second])
    return torch.stack([squares_N, products_N, products_by_parameter([second, first])[0]])


def cosines(products: Tensor, first_squares: Tensor, second_squares: Tensor) -> Tensor:
    """`<a, b> / (|a| |b|)` from inner products and squared norms, in [-1, 1].

    A zero vector has cosine 0: like a right angle it is no conflict. What is not finite gives NaN.

    Args:
        products: `<a, b>`, float64, any shape.
        first_squares: `|a|^2`, broadcast against `products`.
        second_squares: `|b|^2`, likewise.
    """
    scale = (first_squares.sqrt() * second_squares.sqrt()).clamp(min=torch.finfo(torch.float64).tiny)
    return (products / scale).clamp(-1, 1)


def degrees(cosine: Tensor) -> Tensor:
    """The angle of a cosine, in [0, 180]."""
    return torch.rad2deg(torch.acos(cosine))
