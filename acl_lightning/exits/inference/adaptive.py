"""The adaptive runtime: an encoder with an exit criterion and a threshold."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from acl_lightning.encoders import MODEL_INPUTS, MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.inference.decisions import Decisions, DecisionTable
from acl_lightning.exits.inference.layer_stepper import ROW_FIRST_TOKENS, LayerStepper
from acl_lightning.exits.inference.modes import Inputs, Mode, mode_named
from acl_lightning.exits.inference.padded_batch import PaddedBatch, lengths_of


class AdaptiveRuntime:
    """Runs an encoder layer by layer and drops the samples that leave.

    At each exit the criterion receives the logits of this and all earlier exits for the samples that have not left. A
    sample leaves when its certainty reaches the threshold; samples that never reach it leave at the deepest exit.
    Criteria are causal, so exits and answers equal those that `acl_lightning.exits.sweep` computes from all logits.
    Logits that are not finite give a certainty of NaN or -inf, which reaches no threshold. `LayerStepper` describes
    what is computed in which order.

    Call `encoder.eval()` first; in training mode dropout would affect the decisions.

    Args:
        encoder: Encoder to step.
        criterion: Exit criterion.
        threshold: A sample leaves at the first exit whose certainty is at least this value.
        dtype: Data type to compute in, on a copy of the encoder; rounding may change answers. None: that of the
            encoder.
        compile_layers: Whether to use `torch.compile` for layers that are computed whole, on a copy of the encoder. The
            first batches are slow, and logits may differ in the last bits.
        row_first_tokens: Number of tokens in a batch (padding included) from which an exit row is evaluated before the
            rest of its layer; 0: always.

    Raises:
        UserError: The threshold is out of the criterion's range, or the criterion does not support regression and the
            encoder has one output.
    """

    def __init__(
        self,
        encoder: MultiExitEncoder,
        criterion: Criterion,
        threshold: float,
        *,
        dtype: torch.dtype | None = None,
        compile_layers: bool = False,
        row_first_tokens: int = ROW_FIRST_TOKENS,
    ) -> None:
        criterion.check_threshold(threshold)
        if encoder.num_labels == 1 and not criterion.supports_regression:
            raise UserError(
                "an exit criterion for regression", f"{criterion.name}", "Use one that reads values, such as patience."
            )
        if dtype is not None or compile_layers:
            encoder = copy.deepcopy(encoder).to(dtype)
            encoder.backbone.compile_layers = compile_layers
        self.encoder, self.criterion = encoder, criterion
        self._stepper = LayerStepper(encoder, criterion, threshold, row_first_tokens)

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Decisions:
        """Decide a batch of token ids (B, S). B may be 0. The host waits for the device once, and once per exit.

        Raises:
            UserError: The batch has more tokens than the backbone has positions.
        """
        batch = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            batch["token_type_ids"] = token_type_ids
        return self._decide([batch], [lengths_of(attention_mask)])

    def stream(self, batches: Iterable[Mapping[str, Tensor]], mode: str | Mode = "throughput") -> Iterator[Decisions]:
        """Decide a stream of batches. Answers are the same in all modes, apart from rounding.

        - `latency`: sample by sample, each without padding;
        - `batch`: batch by batch, as calling the runtime does;
        - `throughput`: several batches together, layer by layer, merged as samples leave.

        Args:
            batches: Batches with `input_ids`, `attention_mask` and optionally `token_type_ids`, each (B, S); other
                keys are ignored. B may be 0. The stream may be endless: it is read as far ahead as the mode needs.
            mode: A name above, or a mode with its own settings such as `ThroughputMode(32)`.

        Returns:
            A generator of the decisions of each batch, in order.

        Raises:
            UserError: There is no mode of that name; while iterating: a batch has more tokens than the backbone has
                positions.
        """
        mode = mode_named(mode) if isinstance(mode, str) else mode
        inputs = ({name: batch[name] for name in MODEL_INPUTS if name in batch} for batch in batches)
        return mode.decide(inputs, self._decide)

    def _decide(self, batches: list[Inputs], lengths: list[list[int]]) -> Decisions:
        """Decide batches together. Samples are numbered consecutively, which is the order of the decisions."""
        starts = [sum(len(rows) for rows in lengths[:number]) for number in range(len(lengths) + 1)]
        device = batches[0]["attention_mask"].device
        table = DecisionTable(self.criterion, self.encoder.exit_layers, self.encoder.num_labels, starts[-1], device)
        with torch.inference_mode():
            padded = [
                PaddedBatch([*range(start, start + len(rows))], rows, self.encoder.embed(**batch))
                for batch, rows, start in zip(batches, lengths, starts, strict=False)
                if rows
            ]
            self._stepper.run(padded, table, size=max((len(batch.samples) for batch in padded), default=1))
        return table.decisions()
