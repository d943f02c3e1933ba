"""Writer of adaptive ONNX packages."""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

from onnx import ModelProto

from acl_lightning.encoders import MODEL_INPUTS, MultiExitEncoder, merged
from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.report.recommended_point import plain
from acl_lightning.export.config import exported_config
from acl_lightning.export.directory import check_free, complete_directory
from acl_lightning.export.onnx_graph import example_batch
from acl_lightning.export.onnx_package.graphs import OPSET, Precision, converted, segment_graph
from acl_lightning.export.onnx_package.measure import Measurement, check_servable, measure
from acl_lightning.export.onnx_package.segments import VARIANTS, Segment, example_inputs, has_row
from acl_lightning.export.onnx_package.shared_weights import write_graphs
from acl_lightning.files import write_text_atomically
from acl_lightning.runs import load_run, read_result
from acl_lightning.runs.data_modules import text_data
from acl_lightning.runs.provenance import versions
from acl_lightning.runs.records import read_exit_logits
from acl_lightning.serving import AdaptiveSession
from acl_lightning.serving.manifest import FULL_DEPTH, MANIFEST, SCHEMA_VERSION, TOKENIZER, describe_file

#: Packages whose versions a manifest holds, beside those of a run.
PACKAGES = ("onnx", "onnxruntime", "onnxscript", "tokenizers")


def export_package(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    precision: Precision = "fp32",
    max_drop: float = 1.0,
    threads: int = 1,
) -> Measurement:
    """Export a finished run as an adaptive ONNX package.

    The graphs are run on the validation split of the run. The criteria of the run are swept over their logits, so the
    thresholds of `drop1` and the like are those of the package. Budgets are recognized by their names (`drop1`,
    `speed2`, `flops2`); points of other names keep their threshold and are measured again. The directory gets its name
    when it is complete and its quality is measured.

    Args:
        run: Directory of the run; its validation data must be available.
        out: Directory to write; it must not exist yet.
        precision: `fp32`; `int8`: int8 weights, activations quantized while running; `fp16`: for CUDA, slow on CPUs.
        max_drop: Largest acceptable drop in quality against torch, in points on all validation rows, at full depth and
            at each operating point.
        threads: Number of threads for the measurement.

    Returns:
        The measurement of the package.

    Raises:
        UserError: `out` exists or cannot be written; the run is not finished, has no sweep or no stored exit logits,
            its data is not available, it is a run on images, or a criterion has no ONNX form; there are too few
            validation rows to measure `max_drop`; or the quality drops more.
    """
    run, out = Path(run).expanduser(), Path(out).expanduser()
    check_free(out)
    result, stored = read_result(run), read_exit_logits(run)
    report = result.sweep_report
    check_servable(report.recommended)
    _check_rows(len(stored.labels_B), precision, max_drop)
    module, loaded = load_run(run)
    data = text_data(loaded, run)
    config = exported_config(
        module.encoder, module.label_names, data.info.text_columns, data.task_name, result, data.max_length
    )
    encoder = merged(module.encoder).eval().requires_grad_(False)
    cosines = stored.cosines_EBC is not None
    inputs = _inputs(data.tokenizer, config)
    with complete_directory(out) as unfinished:
        data.tokenizer.backend_tokenizer.save(str(unfinished / TOKENIZER))
        segments = _write_segments(encoder, inputs, precision, unfinished, cosines=cosines)
        content: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "precision": precision,
            "opset": OPSET,
            "task": data.task_name,
            "label_names": list(module.label_names),
            "text_columns": list(data.info.text_columns),
            "inputs": inputs,
            "max_length": config.max_length,
            "pad_token_id": data.tokenizer.pad_token_id,
            "exit_layers": list(encoder.exit_layers),
            "depth": encoder.depth,
            "segments": segments,
            "temperatures": None,
            "operating_points": {},
        }
        _write_manifest(unfinished, content)
        session = AdaptiveSession(unfinished, mode="throughput", threads=threads, check_files=False)
        measured = measure(session, data, stored, report)
        _check_drop(measured, precision, max_drop)
        highlighted = report.highlighted if report.highlighted in measured.points else None
        content |= {
            "temperatures": measured.report.temperatures_E,
            "metric": measured.report.metric,
            "operating_points": measured.points,
            "full_depth": measured.full_depth,
            "recommended_point": highlighted,
            "unreachable": measured.report.unreachable,
            "agreement": measured.agreement,
            "calibration": _calibration(measured, data.info.validation_splits[0]),
            "versions": versions() | {name: metadata.version(name) for name in PACKAGES},
        }
        _write_manifest(unfinished, content)
    return measured


def _inputs(tokenizer: Any, config: Any) -> list[str]:
    """Return the inputs of the model: those that the tokenizer gives, and types only where the backbone has several."""
    has_types = getattr(config.backbone_config, "type_vocab_size", 0) > 1
    names = tokenizer.model_input_names
    return [name for name in MODEL_INPUTS if name in names and (has_types or name != "token_type_ids")]


def _write_segments(
    encoder: MultiExitEncoder, inputs: list[str], precision: Precision, directory: Path, *, cosines: bool
) -> dict[str, list[str]]:
    """Write the graphs of both variants; return the file names of each variant in order.

    An encoder whose exits all need whole layers has one variant, which serves for both.
    """
    files: dict[str, list[str]] = {}
    graphs: dict[str, ModelProto] = {}
    exits = range(encoder.num_exits)
    different = any(has_row(encoder, exit_) for exit_ in exits[:-1])
    for variant in VARIANTS if different else ("whole",):
        segments = [Segment(encoder, exit_, variant, tuple(inputs), cosines=cosines).eval() for exit_ in exits]
        examples = example_inputs(segments, example_batch([3, 2], inputs))
        files[variant] = [f"{variant}_{exit_ + 1}.onnx" for exit_ in exits]
        for name, segment, example in zip(files[variant], segments, examples, strict=True):
            graphs[name] = converted(segment_graph(segment, example), precision)
    write_graphs(graphs, directory)
    return {variant: files.get(variant, files["whole"]) for variant in VARIANTS}


def _write_manifest(directory: Path, content: dict[str, Any]) -> None:
    """Write `manifest.json` with size and checksum of every other file of the directory."""
    others = sorted(path for path in directory.iterdir() if path.name != MANIFEST)
    content = plain({**content, "files": {path.name: describe_file(path) for path in others}})
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text_atomically(directory / MANIFEST, text + "\n")


def _calibration(measured: Measurement, split: str) -> dict[str, Any]:
    """Describe the data on which temperatures and thresholds were fitted, and quality was measured."""
    return {
        "split": split,
        "selection_rows": measured.report.samples.selection,
        "report_rows": measured.report.samples.report,
        "mean_num_tokens": measured.report.mean_num_tokens,
        "used_for": "temperatures and thresholds; activations are quantized while running, without calibration data",
    }


def _check_rows(rows: int, precision: Precision, max_drop: float) -> None:
    """Raise `UserError` unless a drop of `max_drop` points can be measured on so many rows."""
    if not max_drop >= 0:
        raise UserError("a largest drop of 0 points or more", f"{max_drop}", "Set --max-drop 1.")
    if precision == "fp32" or max_drop == 0 or rows * max_drop >= 100:
        return
    raise UserError(
        f"at least {round(100 / max_drop)} validation rows, to measure a drop of {max_drop:g} points in {precision}",
        f"{rows}",
        f"Validate the run on more rows, or set --max-drop {100 / rows:.1f} or more.",
    )


def _check_drop(measured: Measurement, precision: Precision, max_drop: float) -> None:
    """Raise `UserError` if the quality drops too much, at full depth or at an operating point."""
    drops = measured.drops
    # Not `<=`: a quality that is not a number, such as a correlation of equal answers, is no drop.
    worse = {name: drop for name, drop in drops.items() if drop["drop_points"] > max_drop + 1e-9}
    if not worse:
        return
    numbers = "; ".join(
        f"{drop['drop_points']:.2f} points at {name.replace('_', ' ') if name == FULL_DEPTH else name} "
        f"({measured.report.metric} {drop['torch']:.4f} with torch, {drop['package']:.4f} with the package)"
        for name, drop in worse.items()
    )
    largest = max(drop["drop_points"] for drop in worse.values())
    raise UserError(
        f"a drop of at most {max_drop:g} points at full depth and at every operating point in {precision}",
        f"{numbers}, on {measured.agreement['samples']} rows",
        f"Export with --precision fp32, or set --max-drop {largest + 0.005:.2f}.",
    )
