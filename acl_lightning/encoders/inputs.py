"""Inputs of an encoder: the names of the columns of a batch that it reads."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

#: Names of the inputs of an encoder of texts, in order. `token_type_ids` is optional.
MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

#: Names of the inputs of an encoder of images.
IMAGE_INPUTS = ("pixel_values",)


def model_inputs(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the columns of a batch that an encoder reads, without labels and indices."""
    return {name: batch[name] for name in (*MODEL_INPUTS, *IMAGE_INPUTS) if name in batch}
