"""Runs as studies see them: typed values from the files that `acl_lightning.runs` reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acl_lightning.errors import UserError
from acl_lightning.exits.evaluation.report import SweepReport
from acl_lightning.runs.names import CONFIG, EXIT_SWEEP, GRADIENTS, LOGS, RESULT
from acl_lightning.runs.provenance import Provenance
from acl_lightning.runs.records import (
    ALL_PARAMETERS,
    GradientComparison,
    MissingFile,
    SweepRow,
    read_comparisons,
    read_config,
    read_gradient_summary,
    read_result,
    read_sweep,
)
from acl_lightning.studies.settings import flat_settings

#: Entries of an exit sweep in `result.json` that studies read. A run that was validated without a sweep lacks them.
NEEDED = ("metric", "exit_layers", "samples", "full_depth", "per_exit", "recommended")

#: Setting that draws the rows of the splits.
DATA_SEED = "data.seed"


@dataclass(frozen=True)
class Run:
    """Finished run.

    Attributes:
        directory: Its directory.
        task: Name of the task.
        report: Report of the exit sweep, without the operating points that `points` added.
        provenance: Origin of the result.
        settings: Configuration without the seed, and what the run was measured on (`measured.*`). Runs with equal
            settings may be averaged.
        train_rows: Number of training rows that the configuration asks for, or `all`.
        points: Content of `exit_sweep.csv`.
        gradient_summary: Logged angles and conflict rates, see `read_gradient_summary`.
    """

    directory: Path
    task: str
    report: SweepReport
    provenance: Provenance
    settings: Mapping[str, str]
    train_rows: str
    points: tuple[SweepRow, ...]
    gradient_summary: Mapping[str, float]

    @property
    def name(self) -> str:
        """Name of the directory."""
        return self.directory.resolve().name

    @property
    def seed(self) -> int | None:
        """Seed with which the run was trained."""
        return self.provenance.seed

    @property
    def metric(self) -> str:
        """Primary metric of the task."""
        return self.report.metric

    @property
    def exit_quality(self) -> dict[int, float]:
        """Layer -> primary metric on the report split if all samples leave there, a fraction; NaN where undefined."""
        return {exit_.layer: exit_.metrics[self.metric] for exit_ in self.report.per_exit}


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
        kind = "a file" if directory.exists() else "nothing"
        raise UserError(f"a run directory at {directory}", kind, "Set the directory that `fit` wrote: --run_dir.")
    name = directory.resolve().name
    file = RESULT
    try:
        result = read_result(directory, unfinished=True, added_points=False)
        if not result.is_finished:
            return UnfinishedRun(name, result.status, str(result.error))
        lacking = [key for key in NEEDED if key not in result.report]
        if lacking:
            return UnfinishedRun(name, "missing", f"{RESULT} has no {', '.join(lacking)}")
        report = result.sweep_report
        file = CONFIG
        config = read_config(directory)
        file = EXIT_SWEEP
        points = read_sweep(directory)
        file = LOGS
        gradients = read_gradient_summary(directory)
    except UserError as error:
        return UnfinishedRun(name, "missing", _reason(file, error))
    settings = flat_settings(config) | _measured_on(report)
    task, origin = str(result.task), result.provenance
    return Run(directory, task, report, origin, settings, _train_rows(config), points, gradients)


def read_each(directories: Sequence[Path]) -> list[Run | UnfinishedRun]:
    """Read several run directories.

    If the seed of the data is that of the run in all of them (`data.seed: ${seed_everything}`), it is not a setting
    of theirs: runs that differ in both may be averaged.

    Raises:
        UserError: There is no such directory, or one is listed twice.
    """
    resolved = [directory.resolve() for directory in directories]
    for directory in directories:
        if resolved.count(directory.resolve()) > 1:
            raise UserError("every run once", f"{directory} more than once", "List every run directory once.")
    read = [read_run(directory) for directory in directories]
    finished = [run for run in read if isinstance(run, Run)]
    if all(run.settings.get(DATA_SEED) == str(run.seed) for run in finished):
        return [_without_data_seed(run) if isinstance(run, Run) else run for run in read]
    return read


def _without_data_seed(run: Run) -> Run:
    return replace(run, settings={key: value for key, value in run.settings.items() if key != DATA_SEED})


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


@dataclass(frozen=True)
class GradientRecord:
    """Comparisons of the gradients of a run.

    Attributes:
        comparisons: Term -> scope -> comparisons in the order of the steps.
    """

    comparisons: Mapping[str, Mapping[str, Sequence[GradientComparison]]]

    def overall(self, term: str) -> Sequence[GradientComparison]:
        """Return the comparisons over all shared parameters, one per recorded step."""
        return self.comparisons[term][ALL_PARAMETERS]


def read_gradients(run: Run) -> GradientRecord | UnfinishedRun:
    """Read the comparisons of a run; an `UnfinishedRun` with the reason where there are none."""
    try:
        comparisons = read_comparisons(run.directory)
    except UserError as error:
        return UnfinishedRun(run.name, "missing", _reason(GRADIENTS, error))
    terms: dict[str, dict[str, list[GradientComparison]]] = {}
    for comparison in comparisons:
        terms.setdefault(comparison.term, {}).setdefault(comparison.scope, []).append(comparison)
    if not terms or any(ALL_PARAMETERS not in scopes for scopes in terms.values()):
        return UnfinishedRun(run.name, "missing", f"{GRADIENTS} has no comparison over {ALL_PARAMETERS}")
    return GradientRecord(terms)


def _reason(file: str, error: UserError) -> str:
    """Return the reason why a run cannot be used, without the path of the file."""
    return f"no {file}" if isinstance(error, MissingFile) else f"{file}: {error.found}"


def _measured_on(report: SweepReport) -> dict[str, str]:
    source = {} if report.samples.selection_from == "validation" else {"measured.selection": "train"}
    return {
        **source,
        "measured.samples": str(report.samples.report),
        "measured.exits": " ".join(str(layer) for layer in report.exit_layers),
        "measured.points": " ".join(report.recommended),
    }


def _train_rows(config: Mapping[str, Any]) -> str:
    data = config.get("data") or {}
    rows = data.get("train_rows")
    if rows is None and data.get("source") == "synthetic":
        rows = data.get("synthetic_rows")
    return "all" if rows is None else str(rows)
