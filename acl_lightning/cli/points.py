"""`python -m acl_lightning points RUN`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from acl_lightning.callbacks.points_table import point_notes, points_table
from acl_lightning.cli.arguments import Parser, path
from acl_lightning.errors import UserError
from acl_lightning.exits import (
    Budget,
    LatencyTable,
    MaxDrop,
    MaxLatency,
    MinMeasuredSpeedup,
    MinSpeedup,
    from_recipe,
    recipe,
)
from acl_lightning.exits.evaluation.choose import ChosenPoints, choose_points
from acl_lightning.exits.evaluation.selection import check_names
from acl_lightning.runs.names import LATENCY, POINTS, RESULT
from acl_lightning.runs.records import add_points, read_exit_logits, read_result


def main(arguments: Sequence[str]) -> int:
    """Choose operating points from the stored logits of a run, add them to it and print them.

    Without a budget, the operating points that the run has are printed.

    Raises:
        UserError: There is no finished run or no stored logits, a budget is out of range or kept by no point, or the
            name of a new point belongs to another point of the result.
    """
    given = _parsed(arguments)
    result = read_result(given.run).report
    if "metric" not in result:
        raise UserError(
            f"a run with an exit sweep in {given.run}", "none", "Run `validate` with the callback ExitSweep."
        )
    budgets, table = _budgets(given)
    if not budgets:
        _print(result)
        return 0
    times = None if table is None else LatencyTable.read(table)
    suffix = given.suffix if given.suffix is not None else "_calibrated" if given.calibrate else ""
    record = read_exit_logits(given.run)
    chosen = choose_points(
        record, str(result["metric"]), budgets, calibrate=given.calibrate, suffix=suffix, times=times
    )
    if not chosen.points:
        raise UserError(
            f"an operating point with: {'; '.join(chosen.unreachable)}",
            "none on the selection half",
            "Ask for less speed or accept a larger loss.",
        )
    _check_free(given.run, result, chosen.points)
    add_points(given.run, chosen.points)
    _print(_shown(result, chosen), chosen)
    return 0


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="acl_lightning points",
        description="Choose operating points of a finished run from its stored exit logits, without the model. "
        f"They are added to RUN/{POINTS}, and predict, export, latency and demo accept their names. "
        "Without a budget the operating points of the run are listed.",
    )
    parser.add_argument("run", type=path, help="directory of a finished run")
    numbers: dict[str, Any] = {"type": float, "nargs": "+", "default": []}
    parser.add_argument("--max-drop", **numbers, metavar="POINTS", help="loss against full depth: drop0.5")
    parser.add_argument("--speed", **numbers, metavar="TIMES", help="layer speed-up of at least TIMES: speed3")
    parser.add_argument("--flops-speed", **numbers, metavar="TIMES", help="FLOPs speed-up of at least TIMES: flops3")
    parser.add_argument("--max-latency", **numbers, metavar="MS", help="mean time per sample of at most MS: ms5")
    parser.add_argument(
        "--measured-speed", **numbers, metavar="TIMES", help="measured speed-up over the plain model: measured2"
    )
    parser.add_argument(
        "--table",
        metavar="CSV",
        help=f"measured times that `latency` wrote (default: RUN/{LATENCY} where a budget needs times); with it "
        "--max-drop chooses the fastest point by time: drop0.5_measured",
    )
    parser.add_argument("--calibrate", action="store_true", help="fit a temperature per exit first: drop0.5_calibrated")
    parser.add_argument("--suffix", help="appended to the names (default: _calibrated with --calibrate)")
    return parser.parse_args(list(arguments))


def _budgets(given: argparse.Namespace) -> tuple[list[Budget], str | None]:
    """Return the budgets and the table of measured times that they are about."""
    table = given.table
    if table is None and (given.max_latency or given.measured_speed):
        table = str(given.run / LATENCY)
    budgets: list[Budget] = [
        *(MaxDrop(points, table=table) for points in given.max_drop),
        *(MinSpeedup(times) for times in given.speed),
        *(MinSpeedup(times, "flops_speedup") for times in given.flops_speed),
        *(MaxLatency(milliseconds, table) for milliseconds in given.max_latency if table is not None),
        *(MinMeasuredSpeedup(times, table) for times in given.measured_speed if table is not None),
    ]
    check_names(budgets)
    return budgets, table


def _check_free(run: Path, result: Mapping[str, Any], points: dict[str, Any]) -> None:
    """Refuse a name that means another point in the run's result; points of an earlier call are replaced."""
    for name, point in points.items():
        known = result["recommended"].get(name)
        if known is None or "budget" in known:  # an entry with a budget was added by `points`
            continue
        described = recipe(from_recipe(known["exit"])) if "exit" in known else None
        if (described, known["threshold"]) != (point["exit"], point["threshold"]):
            raise UserError(
                f"names that {run / RESULT} does not use for another point",
                f"{name!r} ({known['criterion']} at {known['threshold']:g})",
                "Give for example --suffix=_new.",
            )


def _shown(result: Mapping[str, Any], chosen: ChosenPoints) -> dict[str, Any]:
    """Return what the table shows: the chosen points, as a result shows its own."""
    full = {**(result.get("full_depth") or {}), result["metric"]: chosen.full_depth}
    return {**result, "full_depth": full, "recommended": chosen.points, "baseline": chosen.baseline}


def _print(summary: Mapping[str, Any], chosen: ChosenPoints | None = None) -> None:
    console = Console(highlight=False)
    console.print(points_table(summary))
    for note in point_notes(summary):
        console.print(note)
    for name, point in summary["recommended"].items():
        if "milliseconds" in point:
            speedup = point.get("measured_speedup")
            times = "" if speedup is None else f", {speedup:.2f} times as fast as the plain model"
            console.print(f"{name}: {point['milliseconds']:.2f} ms per sample by the measured times{times}")
    if chosen is not None:
        for text in chosen.unreachable:
            console.print(f"No operating point keeps on the selection half: {text}.")
        console.print(f"Added to {POINTS}: {', '.join(chosen.points)}")
