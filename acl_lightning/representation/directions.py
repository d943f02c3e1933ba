"""Unit vectors, and sums over the samples of a class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def unit_vectors(vectors: Tensor) -> Tensor:
    """Divide vectors by their Euclidean length along the last dimension, in float64; a zero vector stays zero."""
    return nn.functional.normalize(vectors.detach().to(torch.float64), dim=-1)


def scatter(vectors_nD: Tensor) -> float:
    """Return the sum of squared distances to the mean; n times this is the sum over all unordered pairs."""
    return (vectors_nD - vectors_nD.mean(dim=0)).square().sum().item()


def classes_of(labels_n: Tensor) -> list[int]:
    """Return the classes that occur, in ascending order."""
    return sorted({*labels_n.tolist()})
