"""One exit of an encoder as an ONNX graph: the layers up to it, and nothing else."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from acl_lightning.encoders import MODEL_INPUTS, MultiExitEncoder
from acl_lightning.errors import UserError
from acl_lightning.files import replaced_atomically

#: What the encoder reads; a tokenizer without token types leaves the last one out.
INPUTS = MODEL_INPUTS
OPSET = 18
#: Largest difference of a logit between torch and onnxruntime that rounding explains.
TOLERANCE = 1e-4


class ExitGraph(nn.Module):
    """The logits (B, C) of one exit, for every sample: a static exit, and full depth if it is the last.

    Where a sample leaves is a decision, which a static graph cannot make; so an ONNX file holds one exit.

    Args:
        encoder: the encoder; its evaluation mode is switched on.
        exit_layer: a layer with an exit, counted from 1; None: the deepest.
        temperatures: of each exit; the logits are divided by that of this exit, as in the exported model. None: the
            logits are not calibrated.

    Raises:
        UserError: no exit after that layer.
    """

    def __init__(
        self,
        encoder: MultiExitEncoder,
        exit_layer: int | None = None,
        temperatures: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        layer = encoder.exit_layers[-1] if exit_layer is None else exit_layer
        check_exit_layer(layer, encoder.exit_layers)
        self.encoder, self.exit_layer = encoder, layer
        self.temperature = None if temperatures is None else temperatures[encoder.exit_layers.index(layer)]
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Logits (B, C) for token ids (B, S). The exit's own layer computes only what the exit reads."""
        state = self.encoder.embed(input_ids, attention_mask, token_type_ids)
        for layer in range(self.exit_layer - 1):
            state = self.encoder.backbone.layer(layer, state)
        reading, _ = self.encoder.exit_first(self.exit_layer - 1, state)
        return reading.logits_BC if self.temperature is None else reading.logits_BC / self.temperature


def check_exit_layer(layer: int, exit_layers: Sequence[int]) -> None:
    """Raise `UserError` unless there is an exit after layer `layer`."""
    if layer not in exit_layers:
        raise UserError(f"an exit layer among {', '.join(map(str, exit_layers))}", f"{layer}", "Choose one of them.")


def export_onnx(graph: ExitGraph, path: Path, inputs: Sequence[str] = INPUTS) -> None:
    """Write `graph` as ONNX with dynamic batch and length; inputs are int64 named `inputs`, the output is `logits`.

    Raises:
        UserError: the file exists or cannot be written.
    """
    if path.exists():
        raise UserError("an ONNX file that does not exist yet", f"{path}", "Delete it or choose another --out.")
    example = example_batch([3, 2], inputs)
    names = tuple(example)
    with replaced_atomically(path) as temporary, warnings.catch_warnings():
        # The newer exporter cannot pass the question whether a batch is padded at all, which backbones ask on the CPU.
        # The tracer follows the example, and that is padded: so the graph masks, which is right for every batch.
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*TorchScript-based ONNX export")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="The feature will be removed")
        warnings.filterwarnings("ignore", category=TracerWarning)
        torch.onnx.export(
            graph,
            tuple(example.values()),
            str(temporary),
            input_names=list(names),
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in names} | {"logits": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )


def example_batch(lengths: Sequence[int], inputs: Sequence[str] = INPUTS) -> dict[str, Tensor]:
    """Token ids of samples of these lengths, padded on the right; ids count upwards from 5."""
    longest = max(lengths)
    mask_BS = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    ids_BS = mask_BS * (5 + torch.arange(mask_BS.numel()).view_as(mask_BS) % 20)
    batch = {"input_ids": ids_BS, "attention_mask": mask_BS, "token_type_ids": torch.zeros_like(ids_BS)}
    return {name: batch[name] for name in INPUTS if name in inputs}


def onnxruntime() -> Any:
    """The module of that name.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UserError("onnxruntime", "none installed", "Install it: pip install 'acl-lightning[onnx]'") from error


def onnx_difference(graph: ExitGraph, path: Path, batch: dict[str, Tensor]) -> float:
    """Largest absolute difference of a logit between torch and onnxruntime on a batch of token ids.

    Raises:
        UserError: onnxruntime is not installed.
    """
    session = onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})
    with torch.no_grad():
        expected_BC = graph(**batch)
    return float((torch.from_numpy(found) - expected_BC).abs().max())
