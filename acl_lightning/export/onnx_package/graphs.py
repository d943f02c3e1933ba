"""ONNX graphs of segments: translation from torch, and quantization."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import onnx
import torch
from onnx import ModelProto
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor

from acl_lightning.export.onnx_package.attention import TRANSLATIONS
from acl_lightning.export.onnx_package.rewrites import simplify
from acl_lightning.export.onnx_package.segments import Segment
from acl_lightning.serving.segments import PASSED, READ

#: Version of the ONNX operators.
OPSET = 20

Precision = Literal["fp32", "int8", "fp16"]

PRECISIONS: tuple[Precision, ...] = ("fp32", "int8", "fp16")

#: Axis of the tokens in the inputs that do not have it second.
LENGTH_AXIS = {"keys": 2, "values": 2}


def segment_graph(segment: Segment, example: Sequence[Tensor]) -> ModelProto:
    """Translate a segment to ONNX, in float32, with dynamic batch size and length.

    Args:
        segment: The segment.
        example: Inputs of at least 2 samples and 2 tokens.
    """
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    with _quiet():
        program = torch.onnx.export(
            segment,
            tuple(example),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(segment.inputs),
            output_names=[name if name in READ else f"{name}{PASSED}" for name in segment.outputs],
            dynamic_shapes=(tuple({0: batch, LENGTH_AXIS.get(name, 1): length} for name in segment.inputs),),
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
    assert program is not None
    model: ModelProto = program.model_proto
    _strip(model)
    simplify(model)
    return model


def _strip(model: ModelProto) -> None:
    """Remove what is not needed to run a graph: source lines, and shapes that quantization would invalidate."""
    graph = model.graph
    del graph.value_info[:]
    for described in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        described.ClearField("metadata_props")
        described.ClearField("doc_string")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks on operators of torchvision and on its own deprecated parts."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def quantized(model: ModelProto) -> ModelProto:
    """Return a graph with int8 weights, whose activations are quantized while it runs.

    Weights are quantized per column and to 7 bits (`reduce_range`): with 8 bits the sums of products overflow 16 bits
    on CPUs without VNNI instructions.
    """
    with tempfile.TemporaryDirectory() as directory, _quiet():
        path = Path(directory) / "quantized.onnx"
        quantize_dynamic(
            model,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        return onnx.load(path)


def half_precision(model: ModelProto) -> ModelProto:
    """Return a graph with weights and states in float16; logits, gates and cosines stay float32."""
    kept = [value.name for value in model.graph.output if value.name in READ]
    with _quiet():
        half: ModelProto = convert_float_to_float16(
            model, keep_io_types=kept, disable_shape_infer=True, op_block_list=[]
        )
    return half


def converted(model: ModelProto, precision: Precision) -> ModelProto:
    """Return a graph in a precision."""
    if precision == "int8":
        return quantized(model)
    return half_precision(model) if precision == "fp16" else model
