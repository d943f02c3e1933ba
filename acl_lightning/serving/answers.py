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
    layer_E: NDArray[np.int64],
    label_names: Sequence[str],
    temperatures_E: Floats | None,
) -> Answers:
    """Return labels and probabilities for logits.

    Args:
        logits_BC: Logits that answer each sample.
        exit_B: Index of the exit of each sample, from 0.
        layer_E: Layer of each exit.
        label_names: Names of the classes; empty for a regression.
        temperatures_E: Temperature of each exit; None: 1 at every exit.
    """
    finite: list[bool] = np.logical_and.reduce(np.isfinite(logits_BC), axis=1).tolist()
    layers_B = layer_E[exit_B]
    labels: list[str | float | None]
    if not label_names:
        values = logits_BC[:, 0].tolist()
        labels = [value if usable else None for value, usable in zip(values, finite, strict=True)]
        return Answers(tuple(labels), np.zeros((len(logits_BC), 0), np.float32), layers_B, logits_BC)
    divided_BC = logits_BC if temperatures_E is None else logits_BC / temperatures_E[exit_B][:, None]
    probabilities_BC = np.exp(log_probabilities(divided_BC)) if finite else logits_BC
    best: list[int] = logits_BC.argmax(axis=1).tolist()
    labels = [label_names[class_] if usable else None for class_, usable in zip(best, finite, strict=True)]
    return Answers(tuple(labels), probabilities_BC, layers_B, logits_BC)
