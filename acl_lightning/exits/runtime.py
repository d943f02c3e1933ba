"""Adaptive inference: a sample stops being computed at the exit it leaves by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from acl_lightning.encoders import ExitReading, MultiExitEncoder, TokenState
from acl_lightning.errors import UserError
from acl_lightning.exits.criterion import Criterion


@dataclass(frozen=True)
class Decisions:
    """Where every sample left, and with what answer, in the order of the input.

    Attributes:
        logits_BC: the logits of the exit that the sample left by.
        exit_B: index of that exit, from 0.
        exit_layer_B: layer of that exit, from 1.
    """

    logits_BC: Tensor
    exit_B: Tensor
    exit_layer_B: Tensor


class AdaptiveRuntime:
    """Runs an encoder layer by layer and drops the samples that leave.

    At each exit the criterion sees the logits of this and all earlier exits of the samples that are still there. A
    sample leaves when its certainty here reaches the threshold; the deepest exit takes the rest. Criteria are causal,
    so exits and answers are those that `exits.sweep` finds in the full logits. A certainty that is NaN or -inf, which
    is what criteria say of logits that are not finite, reaches no threshold.

    The exit row of a layer is evaluated before the rest of the layer, and the rest is computed only for the samples
    that stay. The encoder is used as it is: call `encoder.eval()` first, else dropout takes part in the decisions.

    Args:
        encoder: the encoder to step.
        criterion: when to leave.
        threshold: certainty at which to leave.

    Raises:
        UserError: the threshold is out of the criterion's range, or the criterion cannot read a regression's logits.
    """

    def __init__(self, encoder: MultiExitEncoder, criterion: Criterion, threshold: float) -> None:
        criterion.check_threshold(threshold)
        if encoder.num_labels == 1 and not criterion.supports_regression:
            raise UserError(
                "an exit criterion for regression", f"{criterion.name}", "Use one that reads values, such as patience."
            )
        self.encoder, self.criterion = encoder, criterion
        # Rounded as certainties are, so that a comparison gives here what it gives in a sweep.
        self.threshold = float(torch.tensor(threshold, dtype=torch.float32))

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Decisions:
        """Decide a batch of token ids (B, S); B may be 0. The host waits for the device once per exit.

        Raises:
            UserError: more tokens than the backbone has positions for.
        """
        batch = _Batch(attention_mask, self.encoder)
        if len(input_ids):
            with torch.no_grad():
                self._run(batch, self.encoder.embed(input_ids, attention_mask, token_type_ids))
        return batch.decisions()

    def _run(self, batch: _Batch, state: TokenState) -> None:
        deepest = self.encoder.num_layers - 1
        for layer in range(deepest):
            if not self.encoder.has_exit(layer):
                state = self.encoder.backbone.layer(layer, state)
                continue
            reading, half = self.encoder.exit_first(layer, state)
            evidence = self.criterion.evidence(*batch.record(reading))
            stay = batch.drop(self.criterion.certainty(evidence)[-1] >= self.threshold)
            if stay.count == 0:
                return
            state = self.encoder.finish(half if stay.all_of_them else half.select(stay.rows, stay.length))
        last_RC = self.encoder.advance(deepest, state).logits_BC
        assert last_RC is not None
        batch.record(ExitReading(last_RC, None))


@dataclass(frozen=True)
class _Stay:
    """The samples that stay: which rows, how many, whether all, and the tokens of the longest."""

    rows: Tensor
    count: int
    all_of_them: bool
    length: int


class _Batch:
    """Bookkeeping of one batch: which samples are still there (R of them), and what the exits told them so far.

    A sample's answer is written at every exit it reaches, and the last writing stands: so the deepest exit is no
    special case, and the host need not know who leaves where.
    """

    def __init__(self, attention_mask: Tensor, encoder: MultiExitEncoder) -> None:
        batch, num_tokens = attention_mask.shape
        device = attention_mask.device
        self.exit_layers_E = torch.tensor(encoder.exit_layers, device=device)
        self.logits_BC = torch.zeros(batch, encoder.num_labels, device=device)
        self.exit_B = torch.zeros(batch, dtype=torch.long, device=device)
        self.sample_R = torch.arange(batch, device=device)
        self.length_R = (attention_mask.bool() * torch.arange(1, num_tokens + 1, device=device)).amax(dim=1)
        self.logits_ERC: list[Tensor] = []
        self.gates_ER: list[Tensor] = []

    def record(self, reading: ExitReading) -> tuple[Tensor, Tensor | None]:
        """Note what the next exit says; return logits (exits so far, R, C) and gates (exits so far, R)."""
        self.logits_BC[self.sample_R] = reading.logits_BC.to(self.logits_BC.dtype)
        self.exit_B[self.sample_R] = len(self.logits_ERC)
        self.logits_ERC.append(reading.logits_BC)
        if reading.gates_B is None:
            return torch.stack(self.logits_ERC), None
        self.gates_ER.append(reading.gates_B)
        return torch.stack(self.logits_ERC), torch.stack(self.gates_ER)

    def drop(self, leaves_R: Tensor) -> _Stay:
        """Forget the samples that leave. The one place where the host waits for the device."""
        stays_R = ~leaves_R
        longest = (self.length_R * stays_R).amax()
        count, length = torch.stack([stays_R.sum(), longest]).tolist()
        if count == len(leaves_R):
            return _Stay(self.sample_R, count, True, length)
        rows = leaves_R.to(torch.uint8).argsort(stable=True)[:count]  # unlike a bool index, of a size the host knows
        self.sample_R, self.length_R = self.sample_R[rows], self.length_R[rows]
        self.logits_ERC = [logits_RC[rows] for logits_RC in self.logits_ERC]
        self.gates_ER = [gates_R[rows] for gates_R in self.gates_ER]
        return _Stay(rows, count, False, length)

    def decisions(self) -> Decisions:
        """What was written last for each sample."""
        return Decisions(self.logits_BC, self.exit_B, self.exit_layers_E[self.exit_B])
