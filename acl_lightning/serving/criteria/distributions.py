"""Functions of the class distributions of exits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from acl_lightning.serving.criteria.base import Floats


def log_probabilities(logits: Floats) -> Floats:
    """Return `log softmax(logits)` over the last axis, in float32 with the rounding of torch."""
    with np.errstate(invalid="ignore"):  # logits that are not finite are sorted out by the caller
        # The ufuncs, not the methods `max` and `sum`: several Python calls less for each exit of a single text.
        shifted = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
        logarithms: Floats = shifted - np.log(np.add.reduce(np.exp(shifted), axis=-1, keepdims=True))
    return logarithms


def normalised_entropy(log_p: Floats) -> Floats:
    """Return `H(p) / ln C` over the last axis: 1 for the uniform distribution, 0 for a one-hot distribution."""
    with np.errstate(invalid="ignore"):
        entropy: Floats = -(np.exp(log_p) * log_p).sum(axis=-1) / np.float32(math.log(log_p.shape[-1]))
    return entropy


def jensen_shannon(log_p: Floats, log_q: Floats) -> Floats:
    """Return the Jensen-Shannon divergence in bits over the last axis, from logarithms of distributions."""
    with np.errstate(invalid="ignore"):
        log_m = np.logaddexp(log_p, log_q) - np.float32(math.log(2))
        parts = np.exp(log_p) * (log_p - log_m) + np.exp(log_q) * (log_q - log_m)
        divergence: Floats = np.clip(np.float32(0.5) * parts.sum(axis=-1) / np.float32(math.log(2)), 0, 1)
    return divergence


def finite(logits: Floats) -> NDArray[np.bool_]:
    """Return where all logits of the last axis are finite."""
    result: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(logits), axis=-1)
    return result
