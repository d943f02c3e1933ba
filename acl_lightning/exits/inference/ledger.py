"""The book of what the exits said."""

from __future__ import annotations

import torch
from torch import Tensor

from acl_lightning.encoders import ExitReading
from acl_lightning.exits.inference.decisions import Decisions


class Ledger:
    """What each exit said about each of N samples, and where the samples left.

    Samples that have left keep their rows: so nothing is moved when packs shrink or are put together anew.

    Args:
        exit_layers: layer of each of the E exits, from 1.
        num_labels: C.
        num_samples: N.
        device: where the readings are.
    """

    def __init__(self, exit_layers: tuple[int, ...], num_labels: int, num_samples: int, device: torch.device) -> None:
        self._exit_layers_E = torch.tensor(exit_layers, device=device)
        self._logits_ENC = torch.zeros(len(exit_layers), num_samples, num_labels, device=device)
        self._gates_EN = torch.zeros(len(exit_layers), num_samples, device=device)
        self._exit_N = [len(exit_layers) - 1] * num_samples

    def record(self, exit_: int, samples_R: Tensor, reading: ExitReading) -> tuple[Tensor, Tensor | None]:
        """Note what exit `exit_` says about the samples; return all that the exits so far said about them.

        Returns:
            Logits (exit_ + 1, R, C), and the gate's logits (exit_ + 1, R) where the encoder has one.
        """
        self._logits_ENC[exit_].index_copy_(0, samples_R, reading.logits_BC.float())
        logits_ERC = self._logits_ENC[: exit_ + 1].index_select(1, samples_R)
        if reading.gates_B is None:
            return logits_ERC, None
        self._gates_EN[exit_].index_copy_(0, samples_R, reading.gates_B.float())
        return logits_ERC, self._gates_EN[: exit_ + 1].index_select(1, samples_R)

    def leave(self, exit_: int, samples: list[int]) -> None:
        """Note that the samples leave by exit `exit_`; those of whom nothing is noted leave by the deepest."""
        for sample in samples:
            self._exit_N[sample] = exit_

    def decisions(self) -> Decisions:
        """The answers of all samples."""
        exit_N = torch.tensor(self._exit_N, dtype=torch.long, device=self._exit_layers_E.device)
        logits_NC = self._logits_ENC[exit_N, torch.arange(len(exit_N), device=exit_N.device)]
        return Decisions(logits_NC, exit_N, self._exit_layers_E[exit_N])
