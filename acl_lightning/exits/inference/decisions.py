"""What adaptive inference answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Decisions:
    """Where every sample left, and with what answer, in the order of the input.

    Attributes:
        logits_BC: the logits of the exit that the sample left by, float32.
        exit_B: index of that exit, from 0.
        exit_layer_B: layer of that exit, from 1.
    """

    logits_BC: Tensor
    exit_B: Tensor
    exit_layer_B: Tensor
