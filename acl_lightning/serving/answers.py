"""Answers of an adaptive ONNX package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from acl_lightning.serving.criteria import Floats, log_probabilities


@dataclass(frozen=True)
class Answers:
    """Answers for B samples, in the order of the input.

    Attributes:
        labels: Name of the predicted class of each sample, or the predicted value for a regression; None where the
            logits are not finite.
        probabilities: Probability of each class (B, C), float32, calibrated where the run was; (B, 0) for a regression.
        exit_layers: Layer (B,) at which each sample left, counted from 1.
        logits: Logits (B, C) that answer each sample, not divided by a temperature: those of the exit at which it left,
            or the mean of an ensemble of exits.
    """

    labels: tuple[str | float | None, ...]
    probabilities: Floats
    exit_layers: NDArray[np.int64]
    logits: Floats

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def confidences(self) -> Floats:
        """Probability (B,) of the predicted class; NaN for a regression."""
        if not self.probabilities.shape[1]:
            return np.full(len(self), np.nan, dtype=np.float32)
        largest_B: Floats = self.probabilities.max(axis=1)
        return largest_B


def answers_of(
    logits_BC: Floats,
    exit_B: NDArray[np.int64],
    exit_layers: Sequence[int],
    label_names: Sequence[str],
    temperatures_E: Sequence[float] | None,
) -> Answers:
    """Return labels and probabilities for logits.

    Args:
        logits_BC: Logits that answer each sample.
        exit_B: Index of the exit of each sample, from 0.
        exit_layers: Layer of each exit.
        label_names: Names of the classes; empty for a regression.
        temperatures_E: Temperature of each exit; None: 1 at every exit.
    """
    finite_B: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(logits_BC), axis=1)
    layers_B = np.array(exit_layers, dtype=np.int64)[exit_B]
    labels: list[str | float | None]
    if not label_names:
        labels = [float(value) if finite else None for value, finite in zip(logits_BC[:, 0], finite_B, strict=True)]
        return Answers(tuple(labels), np.zeros((len(logits_BC), 0), np.float32), layers_B, logits_BC)
    divided_BC = logits_BC
    if temperatures_E is not None:
        divided_BC = logits_BC / np.array(temperatures_E, dtype=np.float32)[exit_B][:, None]
    probabilities_BC = np.exp(log_probabilities(divided_BC)) if len(logits_BC) else logits_BC
    best_B = logits_BC.argmax(axis=1)
    labels = [label_names[best] if finite else None for best, finite in zip(best_B, finite_B, strict=True)]
    return Answers(tuple(labels), probabilities_BC, layers_B, logits_BC)
