"""The command `points`: operating points of a finished run, selected again from its stored exit logits."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Budget,
    LatencyTable,
    MaxDrop,
    MaxLatency,
    MinMeasuredSpeedup,
    MinSpeedup,
    RecommendedPoint,
    SweepReport,
)
from acl_lightning.exits.evaluation.report import point_to_json
from acl_lightning.exits.evaluation.selection import check_names
from acl_lightning.runs.names import EXIT_LATENCY, POINTS, RESULT
from acl_lightning.runs.records import add_points, read_exit_logits, read_result
from acl_lightning.tables import point_notes, points_table

if TYPE_CHECKING:
    from acl_lightning.exits import Ensemble


def main(arguments: Sequence[str]) -> int:
    """Select operating points from the stored logits of a run, add them to it and print them.

    Without a budget, the operating points that the run has are printed. Returns exit code 0.

    Args:
        arguments: Arguments after the name of the command.

    Raises:
        UserError: There is no finished run or no stored logits, a budget is out of range or kept by no point, or the
            name of a new point belongs to another point of the result.
    """
    options = _parsed(arguments)
    result = read_result(options.run).report
    if "metric" not in result:
        raise UserError(
            f"a run with an exit sweep in {options.run}", "none", "Run `validate` with the callback ExitSweep."
        )
    budgets, table = _budgets(options)
    if not budgets:
        _print(SweepReport.from_json(result))
        return 0

    from acl_lightning.exits import LearntEnsemble, UniformEnsemble, evaluate, named_criterion  # imports torch

    ensembles: dict[str | None, Ensemble | None] = {
        None: None,
        "learnt": LearntEnsemble(),
        "uniform": UniformEnsemble(),
    }
    suffix = options.suffix
    if suffix is None:
        suffix = "_ensemble" * (options.ensemble is not None) + "_calibrated" * options.calibrate
    report = evaluate(
        read_exit_logits(options.run),
        [named_criterion(name) for name in options.criteria] or None,
        budgets,
        str(result["metric"]),
        calibrate=options.calibrate,
        ensemble=ensembles[options.ensemble],
        times=None if table is None else LatencyTable.read(table),
    )
    unreachable = [budget.text for budget in budgets if budget.name in report.unreachable]
    if not report.recommended:
        raise UserError(
            f"an operating point with: {'; '.join(unreachable)}",
            "none on the selection split",
            "Set a smaller speed-up or a larger drop.",
        )
    report = replace(report, recommended=_named(report.recommended, budgets, suffix))
    _check_free(options.run, result, report.recommended)
    add_points(options.run, {name: point_to_json(point) for name, point in report.recommended.items()})
    _print(report)
    for text in unreachable:
        Console(highlight=False).print(f"No operating point keeps on the selection split: {text}.")
    Console(highlight=False).print(f"Added to {POINTS}: {', '.join(report.recommended)}")
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="acl_lightning points",
        description="Select operating points of a finished run from its stored exit logits, without the model. "
        f"They are added to RUN/{POINTS}, and predict, export, latency and demo accept their names. "
        "Without a budget the operating points of the run are listed.",
        example="points runs/first --max-drop 0.5 --speed 2 3",
    )
    parser.add_argument_group("run").add_argument("run", type=path, metavar="RUN", help="directory of a finished run")
    budgets = parser.add_argument_group("budgets (each value gives a point)")
    numbers: dict[str, Any] = {"type": float, "nargs": "+", "default": []}
    budgets.add_argument(
        "--max-drop", **numbers, metavar="POINTS", help="largest drop against full depth; 0.5 gives drop0.5"
    )
    budgets.add_argument(
        "--confidence",
        type=float,
        metavar="SHARE",
        help="probability that new data keeps --max-drop (accuracy only); 0.95 gives drop0.5_95. Default: the drop on "
        "the selection split counts",
    )
    budgets.add_argument("--speed", **numbers, metavar="TIMES", help="smallest layer speed-up; 3 gives speed3")
    budgets.add_argument("--flops-speed", **numbers, metavar="TIMES", help="smallest FLOPs speed-up; 3 gives flops3")
    budgets.add_argument(
        "--max-latency", **numbers, metavar="MS", help="largest mean time per sample in milliseconds; 5 gives ms5"
    )
    budgets.add_argument(
        "--measured-speed",
        **numbers,
        metavar="TIMES",
        help="smallest measured speed-up over the plain model; 2 gives measured2",
    )
    budgets.add_argument(
        "--table",
        metavar="CSV",
        help=f"measured times that `latency` wrote (default: RUN/{EXIT_LATENCY} where a budget needs times); with it "
        "--max-drop selects the fastest point by time: drop0.5_measured",
    )
    calibration = parser.add_argument_group("criteria, calibration and names")
    calibration.add_argument(
        "--criteria",
        nargs="+",
        default=[],
        metavar="NAME",
        help="criteria to choose from (default: all that can read the stored logits); fewer certify faster points",
    )
    calibration.add_argument(
        "--ensemble",
        choices=("learnt", "uniform"),
        help="answer at an exit by the geometric mean of the exits up to it, with weights fitted on the selection "
        "split or with equal weights; gives drop0.5_ensemble",
    )
    calibration.add_argument(
        "--calibrate", action="store_true", help="fit a temperature per exit first; gives drop0.5_calibrated"
    )
    calibration.add_argument(
        "--suffix",
        help="end of the names (default: _ensemble with --ensemble, then _calibrated with --calibrate)",
    )
    options = parser.parse_args(list(arguments))
    if options.confidence is not None and not options.max_drop:
        raise UserError("--max-drop with --confidence", "none", "Add for example --max-drop 1.")
    return options


def _budgets(options: argparse.Namespace) -> tuple[list[Budget], str | None]:
    """Return the budgets and the table of measured times that they are about."""
    table = options.table
    if table is None and (options.max_latency or options.measured_speed):
        table = str(options.run / EXIT_LATENCY)
    budgets: list[Budget] = [
        *(MaxDrop(points, table=table, confidence=options.confidence) for points in options.max_drop),
        *(MinSpeedup(times) for times in options.speed),
        *(MinSpeedup(times, "flops_speedup") for times in options.flops_speed),
        *(MaxLatency(milliseconds, table) for milliseconds in options.max_latency if table is not None),
        *(MinMeasuredSpeedup(times, table) for times in options.measured_speed if table is not None),
    ]
    check_names(budgets)
    return budgets, table


def _named(
    points: Mapping[str, RecommendedPoint], budgets: Sequence[Budget], suffix: str
) -> dict[str, RecommendedPoint]:
    """Return the points under the names of their budgets and the suffix, with the budget in words."""
    texts = {budget.name: budget.text for budget in budgets}
    return {
        f"{name}{suffix}": replace(
            point, budget=texts[name], beaten_by=tuple(f"{rival}{suffix}" for rival in point.beaten_by)
        )
        for name, point in points.items()
    }


def _check_free(run: Path, result: Mapping[str, Any], points: Mapping[str, RecommendedPoint]) -> None:
    """Refuse names of other points in the result of the run; points of an earlier call are replaced."""
    from acl_lightning.exits import from_config, to_config  # imports torch

    for name, point in points.items():
        known = result["recommended"].get(name)
        if known is None or "budget" in known:  # `points` adds entries with a budget
            continue
        described = to_config(from_config(known["exit"])) if "exit" in known else None
        if (described, known["threshold"]) != (point.exit, point.threshold):
            raise UserError(
                f"names that {run / RESULT} does not use for another point",
                f"{name!r} ({known['criterion']} at {known['threshold']:g})",
                "Set --suffix=_new, for example.",
            )


def _print(report: SweepReport) -> None:
    console = Console(highlight=False)
    console.print(points_table(report))
    for note in point_notes(report):
        console.print(note)
    for name, point in report.recommended.items():
        if point.milliseconds is not None:
            speedup = point.measured_speedup
            times = "" if speedup is None else f", {speedup:.2f} times as fast as the plain model"
            console.print(f"{name}: {point.milliseconds:.2f} ms per sample by the measured times{times}")
