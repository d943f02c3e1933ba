"""The decisions of adaptive inference: a table that is filled exit by exit, and the result read from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from acl_lightning.encoders import ExitReading


@dataclass(frozen=True)
class Decisions:
    """Exit and logits of every sample, in the order of the input.

    Attributes:
        logits_BC: Logits of the exit at which the sample left, float32.
        exit_B: Index of that exit, counted from 0.
        exit_layer_B: Layer of that exit, counted from 1.
    """

    logits_BC: Tensor
    exit_B: Tensor
    exit_layer_B: Tensor


class DecisionTable:
    """Logits (E, N, C) of each exit for each sample, and the exit (N,) at which each sample left.

    Samples that have left keep their rows, so no row moves when batches shrink or are merged.

    Args:
        exit_layers: Layer of each of the E exits, counted from 1.
        num_labels: Number of classes C; 1 for a regression.
        num_samples: Number of samples N.
        device: Device of the logits.
    """

    def __init__(self, exit_layers: tuple[int, ...], num_labels: int, num_samples: int, device: torch.device) -> None:
        self._exit_layers_E = torch.tensor(exit_layers, device=device)
        self._logits_ENC = torch.zeros(len(exit_layers), num_samples, num_labels, device=device)
        self._gates_EN = torch.zeros(len(exit_layers), num_samples, device=device)
        self._exit_N = [len(exit_layers) - 1] * num_samples

    def record(self, exit_: int, samples_R: Tensor, reading: ExitReading) -> tuple[Tensor, Tensor | None]:
        """Store the logits of one exit for some samples, and return their logits of all exits up to this one.

        Args:
            exit_: Index of the exit, counted from 0.
            samples_R: Numbers (R,) of the samples.
            reading: Logits (R, C) of the exit and, where the encoder has a gate, the gate's logits (R,).

        Returns:
            Logits (exit_ + 1, R, C), and the gate's logits (exit_ + 1, R) or None.
        """
        self._logits_ENC[exit_].index_copy_(0, samples_R, reading.logits_BC.float())
        logits_ERC = self._logits_ENC[: exit_ + 1].index_select(1, samples_R)
        if reading.gates_B is None:
            return logits_ERC, None
        self._gates_EN[exit_].index_copy_(0, samples_R, reading.gates_B.float())
        return logits_ERC, self._gates_EN[: exit_ + 1].index_select(1, samples_R)

    def leave(self, exit_: int, samples: list[int]) -> None:
        """Store that the samples leave at exit `exit_`. Samples without an entry leave at the deepest exit."""
        for sample in samples:
            self._exit_N[sample] = exit_

    def decisions(self) -> Decisions:
        """Return the decisions of all samples."""
        exit_N = torch.tensor(self._exit_N, dtype=torch.long, device=self._exit_layers_E.device)
        logits_NC = self._logits_ENC[exit_N, torch.arange(len(exit_N), device=exit_N.device)]
        return Decisions(logits_NC, exit_N, self._exit_layers_E[exit_N])
