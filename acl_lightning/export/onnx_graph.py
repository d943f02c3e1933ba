"""Export of one exit as an ONNX graph that holds the layers up to that exit."""

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
from acl_lightning.export.model import MultiExitForSequenceClassification
from acl_lightning.files import replaced_atomically

OPSET = 18
#: Largest accepted difference of a logit between torch and onnxruntime, above what rounding causes.
TOLERANCE = 1e-4


class ExitGraph(nn.Module):
    """Logits (B, C) of one exit for all samples, divided by the exit's temperature.

    A static graph cannot stop early, so each ONNX file holds one exit: a static exit, or full depth for the last.

    Args:
        encoder: Encoder; it is switched to evaluation mode.
        exit_layer: Layer of the exit, counted from 1. None: the deepest exit.
        temperatures: Temperature of each exit, as in the exported model. None: logits are not calibrated.

    Raises:
        UserError: The layer has no exit.
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
        """Return logits (B, C) for token ids (B, S). Of the exit's layer only the part that it reads is computed."""
        state = self.encoder.embed(input_ids, attention_mask, token_type_ids)
        for layer in range(self.exit_layer - 1):
            state = self.encoder.backbone.layer(layer, state)
        reading, _ = self.encoder.exit_first(self.exit_layer - 1, state)
        return reading.logits_BC if self.temperature is None else reading.logits_BC / self.temperature


def check_exit_layer(layer: int, exit_layers: Sequence[int]) -> None:
    """Raise `UserError` unless the layer `layer` has an exit."""
    if layer not in exit_layers:
        layers = ", ".join(map(str, exit_layers))
        raise UserError(f"an exit layer among {layers}", f"{layer}", "Set --exit_layer to one of them.")


def export_onnx(graph: ExitGraph, path: Path, inputs: Sequence[str] = MODEL_INPUTS) -> None:
    """Write a graph as ONNX with dynamic batch size and length.

    Args:
        graph: Exit to write.
        path: File to write; it must not exist yet.
        inputs: Names of the int64 inputs (B, S). The output is named `logits`.

    Raises:
        UserError: The file exists or cannot be written.
    """
    if path.exists():
        raise UserError("an ONNX file that does not exist yet", f"{path}", "Delete it or choose another --out.")
    example = example_batch([3, 2], inputs)
    names = tuple(example)
    with replaced_atomically(path) as temporary, warnings.catch_warnings():
        # The dynamo exporter fails at the branch on whether a batch is padded, which backbones take on the CPU. The
        # tracer follows the example, which is padded, so the graph always masks; that is correct for every batch.
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


def example_batch(lengths: Sequence[int], inputs: Sequence[str] = MODEL_INPUTS) -> dict[str, Tensor]:
    """Return token ids of samples of the given lengths, padded on the right; ids count upwards from 5."""
    longest = max(lengths)
    mask_BS = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    ids_BS = mask_BS * (5 + torch.arange(mask_BS.numel()).view_as(mask_BS) % 20)
    batch = {"input_ids": ids_BS, "attention_mask": mask_BS, "token_type_ids": torch.zeros_like(ids_BS)}
    return {name: batch[name] for name in MODEL_INPUTS if name in inputs}


def onnxruntime() -> Any:
    """Import and return onnxruntime.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UserError("onnxruntime", "none installed", "Install it: pip install 'acl-lightning[onnx]'") from error


def onnx_difference(graph: ExitGraph, path: Path, batch: dict[str, Tensor]) -> float:
    """Return the largest absolute difference of a logit between torch and onnxruntime on a batch of token ids.

    Raises:
        UserError: onnxruntime is not installed.
    """
    session = onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {name: tensor.numpy() for name, tensor in batch.items()})
    with torch.no_grad():
        expected_BC = graph(**batch)
    return float((torch.from_numpy(logits) - expected_BC).abs().max())


def export_verified_onnx(
    model: MultiExitForSequenceClassification, path: Path, exit_layer: int | None = None
) -> tuple[ExitGraph, float]:
    """Write one exit of an exported model as ONNX and compare it with torch on two batches.

    Args:
        model: Exported model.
        path: File to write; it must not exist yet.
        exit_layer: Layer of the exit, counted from 1. None: the deepest exit.

    Returns:
        The graph, and the largest difference of a logit between torch and onnxruntime.

    Raises:
        UserError: onnxruntime is not installed, the layer has no exit, or the file exists or cannot be written.
    """
    graph = ExitGraph(model.encoder, exit_layer, model.config.temperatures)
    has_types = getattr(model.config.backbone_config, "type_vocab_size", 0) > 1
    inputs = MODEL_INPUTS if has_types else MODEL_INPUTS[:2]
    export_onnx(graph, path, inputs)
    difference = max(onnx_difference(graph, path, example_batch(lengths, inputs)) for lengths in ([7], [12, 3, 12]))
    assert difference < TOLERANCE, f"{path} differs from torch by {difference}"
    return graph, difference
