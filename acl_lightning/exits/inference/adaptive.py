"""The adaptive runtime: an encoder with an exit criterion and a threshold."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from acl_lightning.encoders import IMAGE_INPUTS, MODEL_INPUTS, MultiExitEncoder, model_inputs
from acl_lightning.errors import UserError
from acl_lightning.exits.criteria.base import Criterion
from acl_lightning.exits.inference.decisions import Decisions, DecisionTable
from acl_lightning.exits.inference.layer_stepper import ROW_FIRST_TOKENS, LayerStepper
from acl_lightning.exits.inference.modes import Inputs, Mode, mode_named
from acl_lightning.exits.inference.padded_batch import PaddedBatch, input_lengths


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

    def __call__(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        *,
        pixel_values: Tensor | None = None,
    ) -> Decisions:
        """Decide a batch of token ids (B, S), or of images. The host waits for the device once, and once per exit.

        B may be 0.

        Args:
            input_ids: Token ids (B, S), with an `attention_mask`.
            attention_mask: Mask (B, S) with 0 for padding.
            token_type_ids: Token type ids (B, S), where the model has them.
            pixel_values: Images (B, channels, height, width), for an encoder of images.

        Raises:
            UserError: The batch has more tokens than the backbone has positions, or images have another size.
        """
        named = zip(
            (*MODEL_INPUTS, *IMAGE_INPUTS), (input_ids, attention_mask, token_type_ids, pixel_values), strict=True
        )
        batch = {name: tensor for name, tensor in named if tensor is not None}
        return self._decide([batch], [input_lengths(batch)])

    def stream(self, batches: Iterable[Mapping[str, Tensor]], mode: str | Mode = "throughput") -> Iterator[Decisions]:
        """Decide a stream of batches. Answers are the same in all modes, apart from rounding.

        - `latency`: sample by sample, each without padding;
        - `batch`: batch by batch, as calling the runtime does;
        - `throughput`: several batches together, layer by layer, merged as samples leave.

        Args:
            batches: Batches with `input_ids`, `attention_mask` and optionally `token_type_ids`, each (B, S), or with
                `pixel_values`; other keys are ignored. B may be 0. The stream may be endless: it is read as far ahead
                as the mode needs.
            mode: A name above, or a mode with its own settings such as `ThroughputMode(32)`.

        Returns:
            A generator of the decisions of each batch, in order.

        Raises:
            UserError: There is no mode of that name; while iterating: a batch has more tokens than the backbone has
                positions.
        """
        mode = mode_named(mode) if isinstance(mode, str) else mode
        return mode.decide((model_inputs(batch) for batch in batches), self._decide)

    def _decide(self, batches: list[Inputs], lengths: list[list[int]]) -> Decisions:
        """Decide batches together. Samples are numbered consecutively, which is the order of the decisions."""
        starts = [sum(len(rows) for rows in lengths[:number]) for number in range(len(lengths) + 1)]
        device = next(iter(batches[0].values())).device
        table = DecisionTable(self.criterion, self.encoder.exit_layers, self.encoder.num_labels, starts[-1], device)
        with torch.inference_mode():
            padded = [
                self._embedded(batch, start, rows)
                for batch, rows, start in zip(batches, lengths, starts, strict=False)
                if rows
            ]
            self._stepper.run(padded, table, size=max((len(batch.samples) for batch in padded), default=1))
        return table.decisions()

    def _embedded(self, inputs: Inputs, first: int, lengths: list[int]) -> PaddedBatch:
        """Return the input of layer 0 for samples that are numbered from `first`."""
        state = self.encoder.embed(**inputs)
        if "attention_mask" not in inputs:  # the lengths are those of inputs, not of tokens
            lengths = [state.hidden_BSD.shape[1]] * len(lengths)
        return PaddedBatch([*range(first, first + len(lengths))], lengths, state)
