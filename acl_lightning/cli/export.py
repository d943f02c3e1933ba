"""The command `python -m acl_lightning export RUN --out DIR`: a transformers model, or an adaptive ONNX package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Export a run for transformers, with one exit as ONNX if asked for, or as an adaptive ONNX package.

    Args:
        arguments: Arguments after the name of the command.

    Returns:
        Exit code 0.

    Raises:
        UserError: `export_run`, `export_verified_onnx` or `export_package` raises it, or options contradict each other.
    """
    options = _parsed(arguments)
    if options.format == "onnx":
        return _export_package(options)

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
    model = export_run(options.run, options.out, only_texts=options.onnx)
    points = ", ".join(model.config.operating_points or ()) or "none"
    print(f"{options.out} written; operating points: {points}")  # noqa: T201
    if options.onnx:
        file = options.out / "model.onnx"
        graph, difference = export_verified_onnx(model, file, options.exit_layer)
        print(f"{file} written: exit at layer {graph.exit_layer}, within {difference:.0e} of torch")  # noqa: T201
    return 0


def _export_package(options: argparse.Namespace) -> int:
    """Write an adaptive ONNX package and print its operating points and what conversion changed."""
    from acl_lightning.export.onnx_graph import onnxruntime

    onnxruntime()
    from acl_lightning.export.onnx_package.package import export_package

    measured = export_package(options.run, options.out, options.precision, options.max_drop, options.threads)
    metric, agreement = measured.report.metric, measured.agreement
    values, same = agreement["quality"], 100 * agreement["same_prediction_by_exit"][-1]
    print(f"{options.out} written in {options.precision}")  # noqa: T201
    print(  # noqa: T201
        f"full depth on all {agreement['samples']} validation rows: {metric} {values['package']:.4f} "
        f"(torch {values['torch']:.4f}), {same:.2f} % equal answers, "
        f"largest difference of a logit {agreement['largest_logit_difference']:.1g}"
    )
    rows, quality = measured.report.samples.report, measured.full_depth["measured"]["quality"]
    print(f"operating points on the report split, {rows} of these rows; full depth {metric} {quality:.4f}:")  # noqa: T201
    for name, point in measured.points.items():
        numbers = point["measured"]
        print(  # noqa: T201
            f"  {name}: {point['criterion']['name']} {point['threshold']:g}, {metric} {numbers['quality']:.4f}, "
            f"layer speed-up {numbers['layer_speedup']:.2f}"
        )
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="acl_lightning export",
        description="Write a finished run as a transformers model directory with a model card and optionally one exit "
        "as ONNX, or as an adaptive ONNX package, which runs without torch.",
        example="export runs/first --out package --format onnx --precision int8",
    )
    parser.add_argument_group("model").add_argument("run", type=path, metavar="RUN", help="directory of a finished run")
    output = parser.add_argument_group("output")
    output.add_argument("--out", type=path, required=True, metavar="DIR", help="directory to write; must not exist yet")
    output.add_argument(
        "--format",
        choices=["transformers", "onnx"],
        default="transformers",
        help="transformers: a model directory; onnx: an adaptive package (default: transformers)",
    )
    package = parser.add_argument_group("adaptive package (--format onnx)")
    package.add_argument(
        "--precision",
        choices=["fp32", "int8", "fp16"],
        help="fp32; int8: faster on CPUs; fp16: for CUDA (default: fp32)",
    )
    package.add_argument(
        "--max-drop",
        "--max_drop",
        type=float,
        metavar="POINTS",
        help="largest drop in quality against torch, at full depth and at each operating point; more is an error "
        "(default: 1)",
    )
    package.add_argument("--threads", type=int, metavar="N", help="threads for the measurement (default: 1)")
    onnx = parser.add_argument_group("one exit as ONNX (--format transformers)")
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
    if options.format == "onnx":
        if options.onnx:
            raise UserError("--onnx with --format transformers", "--format onnx", "Remove --onnx.")
        defaults = {"precision": "fp32", "max_drop": 1.0, "threads": 1}
        for name, value in defaults.items():
            setattr(options, name, value if getattr(options, name) is None else getattr(options, name))
        return options
    unused = [name for name in ("precision", "max_drop", "threads") if getattr(options, name) is not None]
    if unused:
        option = f"--{unused[0].replace('_', '-')}"
        raise UserError(f"--format onnx together with {option}", "--format transformers", "Add --format onnx.")
    return options
