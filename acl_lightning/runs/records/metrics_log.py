"""`logs*/metrics.csv`: the values that the CSV logger wrote during training."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from acl_lightning.runs.names import LOGS, METRICS_LOG
from acl_lightning.runs.records.reading import reading
from acl_lightning.runs.records.tables import csv_rows

#: Name of a logged value -> its points (optimiser step, value), steps ascending.
Logged = dict[str, list[tuple[int, float]]]

#: Prefixes of the values of `GradientMonitor`; the name of the auxiliary term follows.
ANGLE = "gradient/angle/"
CONFLICT_RATE = "gradient/conflict_rate/"


def read_metrics_log(directory: str | os.PathLike[str]) -> Logged:
    """Return the logged values of a run; empty where nothing was logged.

    A run that was resumed has a file for each part. A part replaces what earlier parts logged from its first step on:
    these steps were trained again.

    Raises:
        UserError: A file cannot be read, or is damaged.
    """
    logged: Logged = {}
    for path in _parts(Path(directory)):
        with reading(path, "logged metrics of a run", "Move the file away."):
            part = _columns(csv_rows(path, killed=True))
        steps = [step for points in part.values() for step, _ in points]
        if not steps:
            continue
        earlier = {name: [point for point in points if point[0] < min(steps)] for name, points in logged.items()}
        logged = {name: earlier.get(name, []) + part.get(name, []) for name in dict.fromkeys([*earlier, *part])}
    return {name: points for name, points in logged.items() if points}


def read_gradient_summary(directory: str | os.PathLike[str]) -> dict[str, float]:
    """Return angles and conflict rates that `GradientMonitor` logged; empty where nothing was logged.

    Returns:
        For each auxiliary term k `angle_min_k`, `angle_median_k` and `angle_max_k` in degrees over the recorded steps
        of all parts of the run, and `conflict_rate_k`, the share of all steps.

    Raises:
        UserError: A file cannot be read, or is damaged.
    """
    rows: list[dict[str, str]] = []
    for path in _parts(Path(directory)):
        with reading(path, "logged metrics of a run", "Move the file away."):
            rows += csv_rows(path, killed=True)
    summary: dict[str, float] = {}
    for column in sorted({name for row in rows for name in row if name.startswith((ANGLE, CONFLICT_RATE))}):
        values = [float(row[column]) for row in rows if row.get(column)]
        term = column.rpartition("/")[2]
        if values and column.startswith(ANGLE):
            summary |= {
                f"angle_min_{term}": min(values),
                f"angle_median_{term}": statistics.median(values),
                f"angle_max_{term}": max(values),
            }
        elif values:
            summary[f"conflict_rate_{term}"] = values[-1]
    return summary


def _parts(directory: Path) -> list[Path]:
    """Return the log of each part of a run: `logs` first, then `logs-1`, `logs-2`, ..., `logs-10`."""

    def number(path: Path) -> tuple[int, str]:
        last = path.parent.name.rpartition("-")[2]
        return (int(last) if last.isdigit() else 0), path.parent.name

    return sorted(directory.glob(f"{LOGS}*/{METRICS_LOG}"), key=number)


def _columns(rows: list[dict[str, str]]) -> Logged:
    """Return the numbers of every column of a log. Empty cells are left out."""
    columns: dict[str, dict[int, float]] = {}
    for row in rows:
        for name, cell in row.items():
            if name not in ("step", "epoch") and cell and row.get("step"):
                columns.setdefault(name, {})[int(float(row["step"]))] = float(cell)
    return {name: sorted(points.items()) for name, points in columns.items()}
