"""The layer loop of adaptive inference: compute a layer, evaluate its exit, drop the samples that leave."""

from __future__ import annotations

import torch

from acl_lightning.encoders import ExitReading, HalfLayer, MultiExitEncoder, TokenState
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.inference.decisions import DecisionTable
from acl_lightning.exits.inference.padded_batch import PaddedBatch, repack

#: Number of tokens in a batch (padding included) from which an exit row is evaluated before the rest of its layer.
#: Measured with MiniLM (6 layers, width 384) on one CPU thread. At 8 to 25 tokens a layer at which no sample leaves
#: takes 20 to 75 % longer, since the row alone reads all weights of the layer; from about 128 tokens on, 10 % or less.
#: A layer at which all samples leave takes half of its time at 8 to 25 tokens, a quarter from 128 on.
ROW_FIRST_TOKENS = 128


class LayerStepper:
    """Moves batches through the layers of an encoder and drops the samples that leave.

    All batches pass a layer before the first of them passes the next, so the host waits for the device once per exit
    whatever the number of batches. After each exit the remaining samples are merged into fewer batches.

    Exits that the criterion does not read are skipped, and all samples leave at the last exit that it reads. In a batch
    of at least `row_first_tokens` tokens the exit row is evaluated first, and the rest of the layer is computed only
    for the samples that stay. In a smaller batch, or where the exit needs the whole layer, the layer is computed at
    once for all samples.

    Args:
        encoder: Encoder to step.
        criterion: Exit criterion.
        threshold: A sample leaves at the first exit whose certainty is at least this value.
        row_first_tokens: Number of tokens in a batch from which the exit row is evaluated first; 0: always.
    """

    def __init__(
        self, encoder: MultiExitEncoder, criterion: Criterion, threshold: float, row_first_tokens: int
    ) -> None:
        self.encoder, self.criterion, self.row_first_tokens = encoder, criterion, row_first_tokens
        # Rounded to float32 as certainties are, so that the comparison has the same outcome as in a sweep.
        self.threshold = float(torch.tensor(threshold, dtype=torch.float32))
        exits = criterion.exits_read(threshold, encoder.num_exits)
        self._exit_at = {encoder.exit_layers[exit_] - 1: exit_ for exit_ in exits}

    def run(self, batches: list[PaddedBatch], table: DecisionTable, size: int) -> None:
        """Decide all samples of the batches.

        Args:
            batches: Hidden states that enter layer 0.
            table: Receives the logits of each exit and the exit of each sample.
            size: Largest number of samples in a merged batch.
        """
        last = max(self._exit_at)
        for layer in range(last):
            if not batches:
                return
            if layer in self._exit_at:
                batches = repack(self._pass_exit(layer, batches, table), size)
            else:
                batches = [
                    PaddedBatch(batch.samples, batch.lengths, self.encoder.backbone.layer(layer, batch.state))
                    for batch in batches
                ]
        for batch in batches:
            table.record(self._exit_at[last], batch.samples_R(), self._read_last(last, batch.state))
            table.leave(self._exit_at[last], batch.samples)

    def _read_last(self, layer: int, state: TokenState) -> ExitReading:
        """Evaluate the exit at which all samples leave. Only the part of its layer that the exit reads is computed."""
        if layer + 1 < self.encoder.num_layers:
            return self.encoder.exit_first(layer, state)[0]
        logits_BC = self.encoder.advance(layer, state).logits_BC
        assert logits_BC is not None
        return ExitReading(logits_BC, None)

    def _pass_exit(self, layer: int, batches: list[PaddedBatch], table: DecisionTable) -> list[PaddedBatch]:
        """Compute a layer that has an exit, and return the samples that stay. The only wait for the device."""
        exit_ = self._exit_at[layer]
        half_layers, leaves = [], []
        for batch in batches:
            whole = batch.num_tokens < self.row_first_tokens
            cosines = self.criterion.reads_cosines
            reading, half = self.encoder.exit_first(layer, batch.state, whole=whole, cosines=cosines)
            samples_R = batch.samples_R()
            table.record(exit_, samples_R, reading)
            leaves.append(table.certainty(exit_, samples_R) >= self.threshold)
            half_layers.append(half)
        answers = iter(torch.cat(leaves).tolist())
        staying = []
        for batch, half in zip(batches, half_layers, strict=True):
            left = [next(answers) for _ in batch.samples]
            table.leave(exit_, [sample for sample, leaves_here in zip(batch.samples, left, strict=True) if leaves_here])
            rows = [row for row, leaves_here in enumerate(left) if not leaves_here]
            if rows:
                staying.append(self._finish(batch, half, rows))
        return staying

    def _finish(self, batch: PaddedBatch, half: HalfLayer, rows: list[int]) -> PaddedBatch:
        """Compute the rest of a layer for the rows of a batch that stay."""
        if len(rows) == len(batch.samples):
            return PaddedBatch(batch.samples, batch.lengths, self.encoder.finish(half))
        lengths = [batch.lengths[row] for row in rows]
        kept = half.select(torch.tensor(rows, device=batch.state.hidden_BSD.device), max(lengths))
        return PaddedBatch([batch.samples[row] for row in rows], lengths, self.encoder.finish(kept))
