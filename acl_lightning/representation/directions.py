"""Vectors without their lengths: what all measures but the rank look at."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit_vectors(vectors: Tensor) -> Tensor:
    """Divide by the Euclidean length along the last dimension, in float64; a zero vector stays zero."""
    return nn.functional.normalize(vectors.detach().to(torch.float64), dim=-1)


def scatter(vectors_nD: Tensor) -> float:
    """Sum of squared distances to the mean; n times it is the sum of squared distances of all unordered pairs."""
    return (vectors_nD - vectors_nD.mean(dim=0)).square().sum().item()


def classes_of(labels_n: Tensor) -> list[int]:
    """The classes that occur, ascending."""
    return sorted({*labels_n.tolist()})
