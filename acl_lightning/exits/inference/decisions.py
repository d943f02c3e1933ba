"""The decisions of adaptive inference: a table that is filled exit by exit, and the result read from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from acl_lightning.encoders import ExitReading
from acl_lightning.exits.criteria.base import Criterion


@dataclass(frozen=True)
class Decisions:
    """Exit and logits of every sample, in the order of the input.

    Attributes:
        logits_BC: Logits by which the sample is answered, float32: those of the exit at which it left, or of the
            criterion's ensemble.
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
        criterion: Exit criterion. It decides what is stored beside the logits, and how samples are answered.
        exit_layers: Layer of each of the E exits, counted from 1.
        num_labels: Number of classes C; 1 for a regression.
        num_samples: Number of samples N.
        device: Device of the logits.
    """

    def __init__(
        self,
        criterion: Criterion,
        exit_layers: tuple[int, ...],
        num_labels: int,
        num_samples: int,
        device: torch.device,
    ) -> None:
        self._criterion = criterion
        self._exit_layers_E = torch.tensor(exit_layers, device=device)
        self._logits_ENC = torch.zeros(len(exit_layers), num_samples, num_labels, device=device)
        self._gates_EN = torch.zeros(len(exit_layers), num_samples, device=device)
        self._cosines_ENC = torch.zeros_like(self._logits_ENC) if criterion.reads_cosines else None
        self._has_gates = False
        self._exit_N = [len(exit_layers) - 1] * num_samples

    def record(self, exit_: int, samples_R: Tensor, reading: ExitReading) -> None:
        """Store the result of one exit for some samples.

        Args:
            exit_: Index of the exit, counted from 0.
            samples_R: Numbers (R,) of the samples.
            reading: Logits (R, C) of the exit; where the encoder has a gate, the gate's logits (R,); where the
                criterion reads them, the cosines (R, C).
        """
        self._logits_ENC[exit_].index_copy_(0, samples_R, reading.logits_BC.float())
        if reading.gates_B is not None:
            self._gates_EN[exit_].index_copy_(0, samples_R, reading.gates_B.float())
            self._has_gates = True
        if self._cosines_ENC is not None and reading.cosines_BC is not None:
            self._cosines_ENC[exit_].index_copy_(0, samples_R, reading.cosines_BC)

    def certainty(self, exit_: int, samples_R: Tensor) -> Tensor:
        """Return the certainty (R,) of some samples at an exit, from the results of this and all earlier exits."""

        def upto(values_EN: Tensor) -> Tensor:
            return values_EN[: exit_ + 1].index_select(1, samples_R)

        gates_ER = upto(self._gates_EN) if self._has_gates else None
        cosines_ERC = None if self._cosines_ENC is None else upto(self._cosines_ENC)
        inputs = self._criterion.inputs(upto(self._logits_ENC), gates_ER, cosines_ERC)
        return self._criterion.certainty(inputs)[-1]

    def leave(self, exit_: int, samples: list[int]) -> None:
        """Store that the samples leave at exit `exit_`. Samples without an entry leave at the deepest exit."""
        for sample in samples:
            self._exit_N[sample] = exit_

    def decisions(self) -> Decisions:
        """Return the decisions of all samples."""
        exit_N = torch.tensor(self._exit_N, dtype=torch.long, device=self._exit_layers_E.device)
        # Rows of exits that a sample did not reach hold zeros; an answer depends on earlier exits only.
        logits_NC = self._criterion.answers(self._logits_ENC)[exit_N, torch.arange(len(exit_N), device=exit_N.device)]
        return Decisions(logits_NC, exit_N, self._exit_layers_E[exit_N])
