"""Segments of a multi-exit encoder: the parts between two exits, each of which becomes an ONNX graph.

There are two variants, which give the same answers:

- `row_first`: a segment ends after the exit row of its last layer. It returns the logits of the exit, and the hidden
  states, keys and values of the layer, from which the next segment computes the rest of the layer for the samples that
  stay. For many tokens.
- `whole`: a segment ends after the layer of its exit, which is computed for all samples. For few tokens, where a row
  alone costs nearly as much as the layer, since it reads the same weights.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from acl_lightning.encoders import ExitRow, HalfLayer, KeysValues, MultiExitEncoder, TokenState

#: Variant of the segments of a package.
Variant = Literal["row_first", "whole"]

VARIANTS: tuple[Variant, ...] = ("row_first", "whole")


class Segment(nn.Module):
    """Layers from one exit to the next, up to the logits of the second.

    Args:
        encoder: Encoder in evaluation mode.
        exit_: Index of the exit at which the segment ends. The segment of exit 0 embeds token ids.
        variant: See the module.
        model_inputs: Names of the inputs of the first segment, such as `input_ids`.
        cosines: Whether to return the cosines with the label embeddings.

    Attributes:
        inputs: Names of the inputs: those of the model, or the state that the segment before returns and
            `attention_mask`.
        outputs: `logits` (B, C); `gate` (B,) where the encoder has a learnt gate; `cosines` (B, C) where asked for;
            and, except for the last segment, the state: `hidden` (B, S, D) and in the variant `row_first` also `keys`
            and `values` (B, heads, S, D / heads).
    """

    def __init__(
        self,
        encoder: MultiExitEncoder,
        exit_: int,
        variant: Variant,
        model_inputs: tuple[str, ...],
        *,
        cosines: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.exit_, self.variant, self.cosines = encoder, exit_, variant, cosines
        self.inputs = model_inputs if exit_ == 0 else (*self._state(exit_ - 1), "attention_mask")
        last = exit_ == encoder.num_exits - 1
        gate = ("gate",) if encoder.gate is not None else ()
        self.outputs = ("logits", *gate, *(("cosines",) if cosines else ()), *(() if last else self._state(exit_)))

    def _state(self, exit_: int) -> tuple[str, ...]:
        """Return the names of the tensors that pass from the segment of an exit to the next."""
        return ("hidden", "keys", "values") if self._row_first(exit_) else ("hidden",)

    def _row_first(self, exit_: int) -> bool:
        """Return whether an exit is evaluated before the rest of its layer."""
        return self.variant == "row_first" and has_row(self.encoder, exit_)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the tensors `outputs` for the tensors `inputs`."""
        encoder, layer = self.encoder, self.encoder.exit_layers[self.exit_] - 1
        state = self._enter(dict(zip(self.inputs, inputs, strict=True)))
        first = 0 if self.exit_ == 0 else encoder.exit_layers[self.exit_ - 1]
        for between in range(first, layer):
            state = encoder.backbone.layer(between, state)
        if self.exit_ == encoder.num_exits - 1:
            step = encoder.advance(layer, state)
            assert step.embedding_BD is not None
            assert step.logits_BC is not None
            cosines_BC = encoder.cosines(self.exit_, step.embedding_BD) if self.cosines else None
            return _reading(step.logits_BC, encoder.gates(step.embedding_BD), cosines_BC)
        row_first = self._row_first(self.exit_)
        reading, half = encoder.exit_first(layer, state, whole=not row_first, cosines=self.cosines)
        kept = (half.state.hidden_BSD,)
        if half.keys_values is not None:
            kept = (*kept, half.keys_values.keys_BHSd, half.keys_values.values_BHSd)  # type: ignore[assignment]
        return (*_reading(*reading), *kept)

    def _enter(self, tensors: dict[str, Tensor]) -> TokenState:
        """Return the tokens that enter the first whole layer of the segment."""
        if self.exit_ == 0:
            return self.encoder.embed(**tensors)
        state = TokenState(tensors["hidden"], tensors["attention_mask"].bool())
        if "keys" not in tensors:
            return state
        layer = self.encoder.exit_layers[self.exit_ - 1] - 1
        return self.encoder.finish(HalfLayer(layer, state, KeysValues(tensors["keys"], tensors["values"])))


def _reading(*results: Tensor | None) -> tuple[Tensor, ...]:
    """Return those of logits, gates and cosines that there are."""
    return tuple(result for result in results if result is not None)


def has_row(encoder: MultiExitEncoder, exit_: int) -> bool:
    """Return whether an exit has a row that can be computed before the rest of its layer.

    A family whose layers keep more than keys and values between the two (DeBERTa) is computed whole.
    """
    exit_row = encoder.exit_rows[exit_]
    assert isinstance(exit_row, ExitRow)
    state = TokenState(torch.zeros(1, 2, encoder.backbone.width), None)
    if exit_row.query(state) is None:
        return False
    return type(encoder.backbone.keys_values(encoder.exit_layers[exit_] - 1, state)) is KeysValues


def example_inputs(segments: list[Segment], batch: dict[str, Tensor]) -> list[tuple[Tensor, ...]]:
    """Return the inputs of each of the consecutive segments for a batch of token ids, without dropping samples."""
    known = dict(batch)
    examples = []
    with torch.no_grad():
        for segment in segments:
            inputs = tuple(known[name] for name in segment.inputs)
            examples.append(inputs)
            known |= dict(zip(segment.outputs, segment(*inputs), strict=True))
    return examples
