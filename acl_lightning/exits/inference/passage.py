"""The way of packs of samples through the layers, ever fewer of them."""

from __future__ import annotations

import torch

from acl_lightning.encoders import ExitReading, HalfLayer, MultiExitEncoder, TokenState
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.inference.ledger import Ledger
from acl_lightning.exits.inference.pack import Pack, repacked

#: Tokens in a pack (padding included) from which a layer's exit row is evaluated before the rest of the layer.
#: Measured with MiniLM (6 layers, width 384) on one CPU thread. A layer that nobody leaves becomes dearer by a fifth to
#: three quarters at 8 to 25 tokens, since a row by itself reads all the weights, and by a tenth or less from about 128
#: tokens on; a layer that all leave costs half of itself at 8 to 25 tokens, a quarter from 128 on.
ROW_FIRST_TOKENS = 128


class Passage:
    """Takes packs of samples through the layers and drops the samples that leave.

    Layer-major: all packs pass a layer before the first passes the next, so the host waits for the device once per
    exit, however many packs there are. Between layers the survivors are put together into fewer packs.

    Exits that the criterion does not read are not evaluated; by the last that it reads everybody has left. In a pack of
    at least `row_first_tokens` tokens the exit row is evaluated first, and the rest of the layer is computed for the
    samples that stay; in a smaller one, or where the exit needs the whole layer, for all at once.

    Args:
        encoder: the encoder to step.
        criterion: when to leave.
        threshold: certainty at which to leave.
        row_first_tokens: see above.
    """

    def __init__(
        self, encoder: MultiExitEncoder, criterion: Criterion, threshold: float, row_first_tokens: int
    ) -> None:
        self.encoder, self.criterion, self.row_first_tokens = encoder, criterion, row_first_tokens
        # Rounded as certainties are, so that a comparison gives here what it gives in a sweep.
        self.threshold = float(torch.tensor(threshold, dtype=torch.float32))
        exits = criterion.exits_read(threshold, encoder.num_exits)
        self._exit_at = {encoder.exit_layers[exit_] - 1: exit_ for exit_ in exits}

    def run(self, packs: list[Pack], ledger: Ledger, size: int) -> None:
        """Note in `ledger` what the exits say, and where each sample leaves.

        Args:
            packs: samples with the tokens that enter layer 0.
            ledger: of the samples of all packs.
            size: most samples in a pack that is put together from several.
        """
        last = max(self._exit_at)
        for layer in range(last):
            if not packs:
                return
            if layer in self._exit_at:
                packs = repacked(self._survivors(layer, packs, ledger), size)
            else:
                packs = [
                    Pack(pack.samples, pack.lengths, self.encoder.backbone.layer(layer, pack.state)) for pack in packs
                ]
        for pack in packs:
            ledger.record(self._exit_at[last], pack.samples_R(), self._last(last, pack.state))
            ledger.leave(self._exit_at[last], pack.samples)

    def _last(self, layer: int, state: TokenState) -> ExitReading:
        """Read an exit after which nobody goes on: no more of its layer is computed than the exit needs."""
        if layer + 1 < self.encoder.num_layers:
            return self.encoder.exit_first(layer, state)[0]
        logits_BC = self.encoder.advance(layer, state).logits_BC
        assert logits_BC is not None
        return ExitReading(logits_BC, None)

    def _survivors(self, layer: int, packs: list[Pack], ledger: Ledger) -> list[Pack]:
        """Pass a layer that has an exit. The one place where the host waits for the device."""
        exit_ = self._exit_at[layer]
        halves, leave = [], []
        for pack in packs:
            whole = pack.num_tokens < self.row_first_tokens
            reading, half = self.encoder.exit_first(layer, pack.state, whole=whole)
            evidence = self.criterion.evidence(*ledger.record(exit_, pack.samples_R(), reading))
            leave.append(self.criterion.certainty(evidence)[-1] >= self.threshold)
            halves.append(half)
        answers = iter(torch.cat(leave).tolist())
        survivors = []
        for pack, half in zip(packs, halves, strict=True):
            leaves = [next(answers) for _ in pack.samples]
            ledger.leave(exit_, [sample for sample, left in zip(pack.samples, leaves, strict=True) if left])
            rows = [row for row, left in enumerate(leaves) if not left]
            if rows:
                survivors.append(self._finished(pack, half, rows))
        return survivors

    def _finished(self, pack: Pack, half: HalfLayer, rows: list[int]) -> Pack:
        """The rows of a pack that stay, after the rest of the layer."""
        if len(rows) == len(pack.samples):
            return Pack(pack.samples, pack.lengths, self.encoder.finish(half))
        lengths = [pack.lengths[row] for row in rows]
        kept = half.select(torch.tensor(rows, device=pack.state.hidden_BSD.device), max(lengths))
        return Pack([pack.samples[row] for row in rows], lengths, self.encoder.finish(kept))
