"""Adaptive ONNX packages of tiny encoders, for tests."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tiny_models import tiny

from acl_lightning.encoders import EXIT_ROWS, MODEL_INPUTS, BertFamily, ExitHead, MultiExitEncoder
from acl_lightning.export.onnx_graph import example_batch
from acl_lightning.export.onnx_package.graphs import converted, segment_graph
from acl_lightning.export.onnx_package.segments import VARIANTS, Segment, example_inputs
from acl_lightning.export.onnx_package.shared_weights import write_graphs
from acl_lightning.serving.manifest import describe_file

LAYERS = (1, 2, 4)

#: Criteria with a threshold at which samples of `tiny_encoder` leave at different exits.
POINTS = {
    "confidence": ({"name": "confidence", "settings": {}}, 0.7),
    "entropy": ({"name": "entropy", "settings": {}}, 0.3),
    "margin": ({"name": "margin", "settings": {}}, 0.5),
    "patience": ({"name": "patience", "settings": {}}, 1.0),
    "pcee": ({"name": "pcee", "settings": {"bound": 0.8}}, 2.0),
    "fpabee": ({"name": "fpabee", "settings": {"bound": 0.2}}, 1.0),
    "learnt_gate": ({"name": "learnt_gate", "settings": {}}, 0.5),
    "prototype_margin": ({"name": "prototype_margin", "settings": {"weight": 0.5}}, 0.5),
    "ensemble": (
        {
            "name": "ensemble",
            "settings": {
                "criterion": {"name": "margin", "settings": {}},
                "weights_EE": [[1.0], [0.25, 0.75], [0.5, 0.0, 0.5]],
            },
        },
        0.5,
    ),
    "static": ({"name": "static", "settings": {}}, 2.0),
    "calibrated": (
        {
            "name": "calibrated",
            "settings": {
                "criterion": {"name": "confidence", "settings": {}},
                "temperatures_E": [2.0, 0.5, 1.5],
            },
        },
        0.7,
    ),
}


def tiny_encoder(row: str = "mean_row", *, gate: bool = True, labels: int = 3) -> MultiExitEncoder:
    """A random encoder of four layers with exits at layers 1, 2 and 4, whose logits differ between samples."""
    torch.manual_seed(0)
    heads = [ExitHead(24, labels, pooler=True, pretrained_pooler=None, dropout=0.1) for _ in LAYERS]
    for head in heads:
        head.pooler.weight.data *= 20
        head.classifier.weight.data *= 60
    backbone = BertFamily(tiny("bert"))
    encoder = MultiExitEncoder(backbone, LAYERS, [EXIT_ROWS[row](24) for _ in LAYERS], heads, learnt_gate=gate)
    if encoder.gate is not None:
        encoder.gate.weight.data *= 20
    return encoder.eval().requires_grad_(False)


@functools.cache
def tiny_graphs(row: str, variant: str) -> tuple[bytes, ...]:
    """Graphs of the segments of `tiny_encoder(row)`; the translation takes seconds."""
    encoder = tiny_encoder(row)
    segments = [Segment(encoder, exit_, variant, MODEL_INPUTS, cosines=True).eval() for exit_ in range(len(LAYERS))]
    examples = example_inputs(segments, example_batch([3, 2]))
    graphs = (segment_graph(segment, inputs) for segment, inputs in zip(segments, examples, strict=True))
    return tuple(graph.SerializeToString() for graph in graphs)


def write_package(
    directory: Path,
    tokenizer: Path,
    points: Mapping[str, Any],
    *,
    row: str = "mean_row",
    precision: str = "fp32",
    variants: Sequence[str] = VARIANTS,
    **entries: Any,
) -> Path:
    """Write a package of `tiny_encoder(row)` with some operating points; `entries` override the manifest's."""
    import onnx

    directory.mkdir(parents=True)
    names = {variant: [f"{variant}_{layer}.onnx" for layer in LAYERS] for variant in variants}
    graphs = {
        name: converted(onnx.load_from_string(content), precision)
        for variant, files in names.items()
        for name, content in zip(files, tiny_graphs(row, variant), strict=True)
    }
    write_graphs(graphs, directory)
    (directory / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    content = {
        "schema_version": 1,
        "precision": precision,
        "label_names": ["bad", "fair", "good"],
        "text_columns": ["sentence"],
        "inputs": list(MODEL_INPUTS),
        "max_length": 20,
        "pad_token_id": 1,
        "exit_layers": list(LAYERS),
        "depth": 4,
        "segments": {variant: names.get(variant, names[variants[0]]) for variant in VARIANTS},
        "temperatures": None,
        "operating_points": points,
        "files": {path.name: describe_file(path) for path in sorted(directory.iterdir())},
    }
    (directory / "manifest.json").write_text(json.dumps(content | entries))
    return directory


def random_texts(rows: int, seed: int = 0, words: int = 25) -> list[str]:
    """Texts of 1 to `words` words, in an order in which their lengths are mixed."""
    draw = random.Random(seed)
    return [" ".join(f"w{draw.randrange(4, 50)}" for _ in range(draw.randrange(1, words + 1))) for _ in range(rows)]
