"""What a run's log says about its gradients, in a few numbers."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

ANGLE = "gradient/angle/"
RATE = "gradient/conflict_rate/"


def read_telemetry(directory: Path) -> dict[str, float]:
    """Angles between the protected and every auxiliary gradient, and how often they conflicted.

    Reads `logs*/metrics.csv`, which `GradientMonitor` feeds; of a resumed run all parts, in order.

    Returns:
        For each auxiliary term k `angle_min_k`, `angle_median_k`, `angle_max_k` in degrees over the recorded steps, and
        `conflict_rate_k`, the share of all steps; empty where nothing was recorded.
    """
    rows: list[dict[str, str]] = []
    for path in sorted(directory.glob("logs*/metrics.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            rows += csv.DictReader(lines)
    found: dict[str, float] = {}
    for column in sorted({name for row in rows for name in row if name and name.startswith((ANGLE, RATE))}):
        values = [float(row[column]) for row in rows if row.get(column)]
        term = column.rpartition("/")[2]
        if values and column.startswith(ANGLE):
            found |= {
                f"angle_min_{term}": min(values),
                f"angle_median_{term}": statistics.median(values),
                f"angle_max_{term}": max(values),
            }
        elif values:
            found[f"conflict_rate_{term}"] = values[-1]
    return found
