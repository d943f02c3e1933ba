"""`python -m acl_lightning export RUN --out DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError
from acl_lightning.export.directory import export_run
from acl_lightning.export.model import MultiExitForSequenceClassification
from acl_lightning.export.onnx_graph import (
    INPUTS,
    TOLERANCE,
    ExitGraph,
    check_exit_layer,
    example_batch,
    export_onnx,
    onnx_difference,
    onnxruntime,
)
from acl_lightning.runs import read_result


def main(arguments: Sequence[str]) -> int:
    """Export a run, and with `--onnx` one exit of it as ONNX, compared with onnxruntime before it is announced.

    Raises:
        UserError: see `export_run` and `export_onnx`; an exit layer without `--onnx`.
    """
    parser = Parser(prog="acl_lightning export", description="Write a run as a transformers model.")
    parser.add_argument("run", type=path, help="directory of a finished run")
    parser.add_argument("--out", type=path, required=True, help="directory to write; must not exist")
    parser.add_argument("--onnx", action="store_true", help="write model.onnx as well")
    parser.add_argument("--exit_layer", "--exit-layer", type=int, help="layer whose exit model.onnx is (default: last)")
    given = parser.parse_args(list(arguments))
    if given.exit_layer is not None and not given.onnx:
        raise UserError("--onnx beside --exit_layer", "none", "A directory holds all exits; a graph holds one.")
    if given.exit_layer is not None:
        layers = read_result(given.run).report.get("exit_layers") or []
        if not isinstance(layers, list):
            raise UserError("a list as `exit_layers` in result.json", f"{layers!r}", "Validate the run again.")
        check_exit_layer(given.exit_layer, layers)  # before anything is written
    if given.onnx:
        onnxruntime()  # before anything is written, too
    out = given.out
    model = export_run(given.run, out)
    points = ", ".join(model.config.operating_points or ()) or "none"
    print(f"{out} written; operating points: {points}")  # noqa: T201 - the command's answer
    if given.onnx:
        print(_onnx(model, out / "model.onnx", given.exit_layer))  # noqa: T201
    return 0


def _onnx(model: MultiExitForSequenceClassification, path: Path, exit_layer: int | None) -> str:
    graph = ExitGraph(model.encoder, exit_layer, model.config.temperatures)
    has_types = getattr(model.config.backbone_config, "type_vocab_size", 0) > 1
    inputs = INPUTS if has_types else INPUTS[:2]
    export_onnx(graph, path, inputs)
    difference = max(onnx_difference(graph, path, example_batch(lengths, inputs)) for lengths in ([7], [12, 3, 12]))
    assert difference < TOLERANCE, f"{path} differs from torch by {difference}"
    return f"{path} written: exit at layer {graph.exit_layer}, within {difference:.0e} of torch"
