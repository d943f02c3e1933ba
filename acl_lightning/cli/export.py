"""The command `python -m acl_lightning export RUN --out DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Export a run and, with `--onnx`, one of its exits as ONNX. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: `export_run` or `export_verified_onnx` raises it, or `--exit_layer` is set without `--onnx`.
    """
    options = _parsed(arguments)

    from acl_lightning.export.directory import export_run
    from acl_lightning.export.onnx_graph import check_exit_layer, export_verified_onnx, onnxruntime
    from acl_lightning.runs import read_result

    # Mistakes are reported before anything is written.
    if options.exit_layer is not None:
        layers = read_result(options.run).report.get("exit_layers") or []
        if not isinstance(layers, list):
            raise UserError("a list as `exit_layers` in result.json", f"{layers!r}", "Run `validate` again.")
        check_exit_layer(options.exit_layer, layers)
    if options.onnx:
        onnxruntime()
    model = export_run(options.run, options.out)
    points = ", ".join(model.config.operating_points or ()) or "none"
    print(f"{options.out} written; operating points: {points}")  # noqa: T201
    if options.onnx:
        file = options.out / "model.onnx"
        graph, difference = export_verified_onnx(model, file, options.exit_layer)
        print(f"{file} written: exit at layer {graph.exit_layer}, within {difference:.0e} of torch")  # noqa: T201
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="acl_lightning export",
        description="Write a finished run as a transformers model directory with a model card, and optionally as ONNX.",
        example="export runs/first --out exported --onnx",
    )
    parser.add_argument_group("model").add_argument("run", type=path, metavar="RUN", help="directory of a finished run")
    parser.add_argument_group("output").add_argument(
        "--out", type=path, required=True, metavar="DIR", help="directory to write; must not exist yet"
    )
    onnx = parser.add_argument_group("ONNX")
    onnx.add_argument("--onnx", action="store_true", help="also write one exit as DIR/model.onnx (default: no)")
    onnx.add_argument(
        "--exit_layer",
        "--exit-layer",
        type=int,
        metavar="LAYER",
        help="layer of the exit in model.onnx, counted from 1 (default: the deepest exit)",
    )
    options = parser.parse_args(list(arguments))
    if options.exit_layer is not None and not options.onnx:
        raise UserError("--onnx together with --exit_layer", "none", "Add --onnx, or remove --exit_layer.")
    return options
