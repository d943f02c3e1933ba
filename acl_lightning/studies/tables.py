"""`runs.csv`, one row per run, and `summary.csv`, one row per group; qualities are fractions there."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from acl_lightning.studies.grouping import Group
from acl_lightning.studies.run_record import Run, UnfinishedRun
from acl_lightning.studies.spread import spread

Cell = str | float | None
Row = dict[str, Cell]

#: What is reported of an operating point; `loss_points` is in hundredths, the speed-ups are ratios.
POINT_MEASURES = ("quality", "loss_points", "layer_speedup", "flops_speedup")


def measures(run: Run) -> dict[str, float | None]:
    """What is averaged over seeds: `exit_LAYER`, `full_depth`, and `POINT_MEASURE` per recommended point.

    The quality is the task's primary metric on the report half.
    """
    result, metric = run.result, run.result["metric"]
    values = {f"exit_{row['layer']}": row[metric] for row in result["per_exit"]}
    values["full_depth"] = result["full_depth"][metric]
    for name, point in result["recommended"].items():
        values |= {f"{name}_{measure}": point[measure] for measure in POINT_MEASURES}
    return values


def run_rows(groups: Sequence[Group], unfinished: Sequence[UnfinishedRun]) -> list[Row]:
    """One row per run, group by group; at the end those without a result, with their status and reason."""
    rows = [_run_row(run, group) for group in groups for run in group.runs]
    return rows + [{"run": one.name, "status": one.status, "reason": one.reason} for one in unfinished]


def _run_row(run: Run, group: Group) -> Row:
    result = run.result
    git = result.get("git") or {}
    chosen: Row = {}
    for name, point in result["recommended"].items():
        chosen |= {f"{name}_criterion": point["criterion"], f"{name}_threshold": point["threshold"]}
    return {
        "run": run.name,
        "status": "finished",
        "reason": None,
        "task": run.task,
        "group": group.label,
        "seed": run.seed,
        "train_rows": group.train_rows,
        "report_samples": result["samples"]["report"],
        "metric": result["metric"],
        **measures(run),
        **chosen,
        **run.telemetry,
        "fit_seconds": result.get("fit_seconds"),
        "device": result.get("device"),
        "precision": result.get("precision"),
        "torch": result.get("versions", {}).get("torch"),
        "commit": git.get("commit"),
        "dirty": None if git.get("dirty") is None else str(git["dirty"]).lower(),
        "config_hash": result["config_hash"],
    }


def summary_rows(groups: Sequence[Group]) -> list[Row]:
    """One row per group: number of runs `n`, the seeds, and `MEASURE_mean` and `MEASURE_std` over the runs.

    The standard deviation is the sample's (n - 1), empty where n is 1. Both are empty where a run's value is undefined.
    """
    rows = []
    for group in groups:
        first = group.runs[0]
        row: Row = {
            "task": group.task,
            "group": group.label,
            "n": len(group.runs),
            "seeds": " ".join(str(seed) for seed in group.seeds),
            "train_rows": group.train_rows,
            "report_samples": first.result["samples"]["report"],
            "metric": first.result["metric"],
        }
        values = [measures(run) for run in group.runs]
        for name in values[0]:
            over_seeds = spread([one[name] for one in values])
            row |= {f"{name}_mean": over_seeds.mean, f"{name}_std": over_seeds.std}
        rows.append(row)
    return rows


def csv_text(rows: Sequence[Row]) -> str:
    """Rows as CSV with the columns of all of them, in the order of first appearance; what a row lacks is empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Cell) -> Cell:
    """Eight significant digits: what a float32 holds, without the noise behind it."""
    return f"{value:.8g}" if isinstance(value, float) else value
