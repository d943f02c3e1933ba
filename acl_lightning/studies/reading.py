"""Readers of the files in a run directory that studies need. Nothing else in this package opens a file of a run."""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from acl_lightning.errors import UserError
from acl_lightning.studies.settings import flat_settings

#: Keys of `result.json` that studies read. A run that was validated without an exit sweep lacks most of them.
NEEDED = ("task", "metric", "exit_layers", "samples", "full_depth", "per_exit", "recommended", "seed", "config_hash")

#: Columns of the log with angles and conflict rates, without the name of the term.
ANGLE, CONFLICT_RATE = "gradient/angle/", "gradient/conflict_rate/"

#: File that `GradientProbe` writes.
GRADIENT_FILE = "gradient_watch.csv"

#: Scope of a comparison over all shared parameters, and the scope with a comparison per layer.
ALL_PARAMETERS, PER_LAYER = "AllParameters", "PerLayer"

#: Arrays of `embeddings.npz` that studies read.
EMBEDDING_ARRAYS = ("vectors_KnD", "layers_K", "labels_n", "label_vectors_KCD", "label_names_C")


@dataclass(frozen=True)
class SweepPoint:
    """Row of `exit_sweep.csv`: a criterion at one threshold, measured on the report split.

    Attributes:
        criterion: Name of the criterion.
        threshold: Threshold of the criterion; for `static`, the number of the exit from 1.
        quality: Primary metric as a fraction; NaN where undefined.
        mean_exit_layer: Mean layer, counted from 1, at which samples leave.
        layer_speedup: Depth / mean_exit_layer.
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
    """Finished run.

    Attributes:
        directory: Its directory.
        result: Content of `result.json`.
        settings: Configuration without the seed, and what the run was measured on (`measured.*`). Runs with equal
            settings may be averaged.
        train_rows: Number of training rows that the configuration asks for, or `all`.
        points: Content of `exit_sweep.csv`.
        gradient_statistics: See `read_gradient_statistics`.
    """

    directory: Path
    result: Mapping[str, Any]
    settings: Mapping[str, str]
    train_rows: str
    points: tuple[SweepPoint, ...]
    gradient_statistics: Mapping[str, float]

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.directory.resolve().name

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.result["task"])

    @property
    def seed(self) -> int | None:
        """Seed with which the run was trained."""
        seed = self.result["seed"]
        return None if seed is None else int(seed)


@dataclass(frozen=True)
class UnfinishedRun:
    """Run without a usable result.

    Attributes:
        name: Name of its directory.
        status: `failed` or `interrupted` (from its result), or `missing`.
        reason: Error of the run, or the file that is absent or damaged.
    """

    name: str
    status: str
    reason: str


def read_run(directory: str | os.PathLike[str]) -> Run | UnfinishedRun:
    """Read a run directory.

    Returns:
        The run; an `UnfinishedRun` if it failed, has not ended, or was measured without an exit sweep.

    Raises:
        UserError: There is no such directory.
    """
    directory = Path(directory)
    if not directory.is_dir():
        found = "a file" if directory.exists() else "nothing"
        raise UserError(f"a run directory at {directory}", found, "Set the directory that `fit` wrote: --run_dir.")
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
        gradients = read_gradient_statistics(directory)
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
    return Run(directory, result, flat_settings(config) | measured, _train_rows(config), points, gradients)


def read_each(directories: Sequence[Path]) -> list[Run | UnfinishedRun]:
    """Read several run directories.

    Raises:
        UserError: There is no such directory, or one is listed twice.
    """
    resolved = [directory.resolve() for directory in directories]
    for directory in directories:
        if resolved.count(directory.resolve()) > 1:
            raise UserError("every run once", f"{directory} more than once", "List every run directory once.")
    return [read_run(directory) for directory in directories]


def read_finished(directories: Sequence[Path]) -> tuple[list[Run], list[UnfinishedRun]]:
    """Read several run directories. Returns finished and unfinished runs.

    Raises:
        UserError: There is no such directory, one is listed twice, or no run is finished.
    """
    read = read_each(directories)
    finished = [run for run in read if isinstance(run, Run)]
    unfinished = [run for run in read if isinstance(run, UnfinishedRun)]
    if not finished:
        raise none_finished(unfinished)
    return finished, unfinished


def none_finished(unfinished: Sequence[UnfinishedRun]) -> UserError:
    """Return the error for a study without a finished run."""
    reasons = "; ".join(f"{run.name} ({run.status}: {run.reason})" for run in unfinished)
    return UserError("at least one finished run", reasons, "Wait until a run has finished, or see its log.")


def read_gradient_statistics(directory: Path) -> dict[str, float]:
    """Read angles and conflict rates that `GradientMonitor` logged to `logs*/metrics.csv`, over all parts of a run.

    Returns:
        For each auxiliary term k `angle_min_k`, `angle_median_k` and `angle_max_k` in degrees over the logged steps,
        and `conflict_rate_k`, the share of all steps. Empty where nothing was logged.
    """
    rows: list[dict[str, str]] = []
    for path in sorted(directory.glob("logs*/metrics.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            rows += csv.DictReader(lines)
    summary: dict[str, float] = {}
    for column in sorted({name for row in rows for name in row if name and name.startswith((ANGLE, CONFLICT_RATE))}):
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


@dataclass(frozen=True)
class Comparison:
    """Comparison of the gradients of the protected and an auxiliary term at one step.

    Attributes:
        step: Number of training batches before the comparison.
        group: Group of parameters within the scope; empty where the scope is one group.
        cosine: Cosine between the gradients; NaN where a gradient is not finite.
        angle: Angle in degrees; NaN where a gradient is not finite.
    """

    step: int
    group: str
    cosine: float
    angle: float

    @property
    def conflict(self) -> bool:
        """Whether ACL-Grad would discard the auxiliary gradient."""
        return not self.cosine >= 0


@dataclass(frozen=True)
class GradientRecord:
    """All comparisons of a run.

    Attributes:
        comparisons: Term -> scope -> comparisons in the order of the steps.
    """

    comparisons: dict[str, dict[str, tuple[Comparison, ...]]]

    def overall(self, term: str) -> tuple[Comparison, ...]:
        """Return the comparisons over all shared parameters, one per recorded step."""
        return self.comparisons[term][ALL_PARAMETERS]


def read_gradients(run: Run) -> GradientRecord | UnfinishedRun:
    """Read the comparisons of a run; an `UnfinishedRun` with the reason where there are none."""
    read: defaultdict[str, defaultdict[str, list[Comparison]]] = defaultdict(lambda: defaultdict(list))
    try:
        with (run.directory / GRADIENT_FILE).open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines):
                cosine, angle = (float(row[name] or math.nan) for name in ("cosine", "angle"))
                read[row["term"]][row["scope"]].append(Comparison(int(row["step"]), row["group"], cosine, angle))
    except FileNotFoundError:
        return UnfinishedRun(run.name, "missing", f"no {GRADIENT_FILE}")
    except (OSError, KeyError, ValueError, TypeError) as error:
        return UnfinishedRun(run.name, "missing", f"a damaged {GRADIENT_FILE} ({type(error).__name__}: {error})")
    if not read or any(ALL_PARAMETERS not in scopes for scopes in read.values()):
        return UnfinishedRun(run.name, "missing", f"{GRADIENT_FILE} has no comparison over {ALL_PARAMETERS}")
    terms = {term: {scope: tuple(rows) for scope, rows in scopes.items()} for term, scopes in read.items()}
    return GradientRecord(terms)


@dataclass(frozen=True)
class Representation:
    """Embeddings of a run and their measures.

    Attributes:
        run: The run.
        samples: Number of samples that were measured.
        measures: Exit layer -> measure -> value, None where undefined.
        arrays: Content of `embeddings.npz`.
    """

    run: Run
    samples: int
    measures: Mapping[int, Mapping[str, float | None]]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def layers(self) -> list[int]:
        """Exits whose embeddings were stored."""
        return [int(layer) for layer in self.arrays["layers_K"]]

    @property
    def label_names(self) -> list[str]:
        """Names of the classes."""
        return [str(name) for name in self.arrays["label_names_C"]]

    def quality(self, layer: int) -> float | None:
        """Return the primary metric on the report split if all samples leave at `layer`."""
        per_exit = {row["layer"]: row for row in self.run.result["per_exit"]}
        value: float | None = per_exit[layer][self.run.result["metric"]]
        return value


def read_representation(run: Run) -> Representation:
    """Read `representation.csv` and `embeddings.npz` of a finished run.

    Raises:
        UserError: One of the files is absent or damaged.
    """
    directory = run.directory
    try:
        with (directory / "representation.csv").open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        measures = {
            int(row.pop("exit_layer")): {name: float(value) if value else None for name, value in row.items()}
            for row in rows
        }
        samples = {int(row.pop("samples") or 0) for row in measures.values()}
        with (directory / "embeddings.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in EMBEDDING_ARRAYS}
    except FileNotFoundError as error:
        raise UserError(
            f"{Path(error.filename).name} in {directory}",
            "none",
            "Run `fit` or `validate` with --config conf/callbacks/representation.yaml.",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"representation.csv and embeddings.npz of a run in {directory}",
            f"a damaged file ({type(error).__name__})",
            "Repeat `validate` with conf/callbacks/representation.yaml.",
        ) from error
    return Representation(run, max(samples, default=0), measures, arrays)


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
