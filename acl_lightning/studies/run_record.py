"""One run as a study sees it: what lies in its directory."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acl_lightning.errors import UserError
from acl_lightning.studies.settings import flat_settings
from acl_lightning.studies.telemetry import read_telemetry

#: What a study asks of `result.json`; a run validated without an exit sweep lacks most of it.
NEEDED = ("task", "metric", "exit_layers", "samples", "full_depth", "per_exit", "recommended", "seed", "config_hash")


@dataclass(frozen=True)
class SweepPoint:
    """A line of `exit_sweep.csv`: what a criterion does at one threshold, on the report half.

    Attributes:
        criterion: its name.
        threshold: its threshold; of `static`, the number of the exit, from 1.
        quality: the primary metric, a fraction; NaN where undefined.
        mean_exit_layer: mean layer (counted from 1) at which samples leave.
        layer_speedup: depth / mean_exit_layer.
        flops_speedup: FLOPs of full depth / mean FLOPs.
    """

    criterion: str
    threshold: float
    quality: float
    mean_exit_layer: float
    layer_speedup: float
    flops_speedup: float


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: name of its directory.
        result: content of `result.json`.
        settings: its configuration without the seed, and what it was measured on (`measured.*`): two runs with equal
            settings may be averaged.
        train_rows: number of training rows asked for, or `all`.
        points: content of `exit_sweep.csv`.
        telemetry: see `read_telemetry`.
    """

    name: str
    result: Mapping[str, Any]
    settings: Mapping[str, str]
    train_rows: str
    points: tuple[SweepPoint, ...]
    telemetry: Mapping[str, float]

    @property
    def task(self) -> str:
        """The task; only runs of one task are compared."""
        return str(self.result["task"])

    @property
    def seed(self) -> int | None:
        """The seed that was in force, whatever the configuration asked for."""
        seed = self.result["seed"]
        return None if seed is None else int(seed)


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that has no result to tabulate.

    Attributes:
        name: name of its directory.
        status: `failed` or `interrupted` (from its result), or `missing`.
        reason: its error, or which file is not there.
    """

    name: str
    status: str
    reason: str


def read_run(directory: str | os.PathLike[str]) -> Run | UnfinishedRun:
    """Read a run directory.

    Returns:
        The run, or why it has no usable result: it failed, is still going on, or was measured without an exit sweep.

    Raises:
        UserError: there is no such directory.
    """
    directory = Path(directory)
    if not directory.is_dir():
        found = "a file" if directory.exists() else "nothing"
        raise UserError(f"a run directory at {directory}", found, "Give what `fit` was given as --run_dir.")
    name = directory.resolve().name
    try:
        result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        if result["status"] != "finished":
            return UnfinishedRun(name, str(result["status"]), str(result["error"]))
        lacking = [key for key in NEEDED if key not in result]
        if lacking:
            return UnfinishedRun(name, "missing", f"result.json has no {', '.join(lacking)}")
        config = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
        points = _read_points(directory / "exit_sweep.csv")
        telemetry = read_telemetry(directory)
    except FileNotFoundError as error:
        return UnfinishedRun(name, "missing", f"no {Path(error.filename).name}")
    except OSError as error:
        return UnfinishedRun(name, "missing", f"{Path(error.filename).name}: {error.strerror}")
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        return UnfinishedRun(name, "missing", f"a damaged file ({type(error).__name__}: {str(error).splitlines()[0]})")
    measured = {
        "measured.samples": str(result["samples"]["report"]),
        "measured.exits": " ".join(str(layer) for layer in result["exit_layers"]),
        "measured.points": " ".join(result["recommended"]),
    }
    return Run(name, result, flat_settings(config) | measured, _train_rows(config), points, telemetry)


def _read_points(path: Path) -> tuple[SweepPoint, ...]:
    numbers = ("threshold", "quality", "mean_exit_layer", "layer_speedup", "flops_speedup")
    with path.open(encoding="utf-8", newline="") as lines:
        return tuple(
            SweepPoint(row["criterion"], **{name: float(row[name] or math.nan) for name in numbers})
            for row in csv.DictReader(lines)
        )


def _train_rows(config: Mapping[str, Any]) -> str:
    data = config["data"]
    rows = data["train_rows"]
    if rows is None and data["source"] == "synthetic":
        rows = data["synthetic_rows"]
    return "all" if rows is None else str(rows)
