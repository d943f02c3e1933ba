"""Results of the trials of a study: which trials have one, and why the others have none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from acl_lightning.errors import UserError
from acl_lightning.runs.names import REPRESENTATION
from acl_lightning.runs.records import read_representation, read_result
from acl_lightning.studies.collect import measures
from acl_lightning.studies.curves.stored_curves import StoredCurve, default_criterion, read_curve
from acl_lightning.studies.gradient_rows import conflict_rate, median_angle
from acl_lightning.studies.reading import GradientRecord, UnfinishedRun, read_gradients, read_run

#: State of a trial with a complete result of this version of the package.
FINISHED = "finished"

#: State of a finished trial to which the criterion of a row does not apply.
NOT_APPLICABLE = "not applicable"

#: Parameter that holds the seed of a trial.
SEED = "seed_everything"


class StudyTrial(Protocol):
    """A trial of a sweep, see `acl_lightning.studies.trials`."""

    @property
    def id(self) -> str:
        """Identity of the trial, the name of its run directory."""

    @property
    def parameters(self) -> Mapping[str, object]:
        """Parameter -> value."""

    @property
    def directory(self) -> Path:
        """Run directory."""

    def state(self) -> str:
        """Return `finished`, `waiting`, `running`, `failed` or `stale`."""


@dataclass(frozen=True)
class TrialResult:
    """A finished trial with readable files.

    Attributes:
        trial: The trial.
        curve: Curve of its stored logits, with its `Run`.
        logged: Numbers of the run that are not recomputed from its logits, by name: logged metrics of `result.json`;
            `POINT_quality`, `POINT_layer_speedup`, ... of its operating points; angles and conflict rates of the
            gradient rule (`angle_median_TERM`, `conflict_rate_TERM`) and of the callback `GradientProbe` over all
            parameters (`probe_angle_median_TERM`, `probe_conflict_rate_TERM`); `fit_seconds`; measures of the
            embeddings (`MEASURE_exit_LAYER`).
        state: `finished`.
    """

    trial: StudyTrial
    curve: StoredCurve
    logged: Mapping[str, float]
    state: str = FINISHED

    @property
    def key(self) -> tuple[str, str]:
        """Identity of the trial, and criterion of its measures."""
        return self.trial.id, self.curve.criterion.name

    @property
    def seed(self) -> object:
        """Value of the parameter `seed_everything`; the seed of the run where the sweep does not set it."""
        return self.trial.parameters.get(SEED, self.curve.run.seed)


@dataclass(frozen=True)
class MissingTrial:
    """A trial without a usable result.

    Attributes:
        trial: The trial.
        state: State of the trial; `damaged`; or `NOT_APPLICABLE`.
        reason: File that is absent or damaged, or why the criterion does not apply; empty for other states.
    """

    trial: StudyTrial
    state: str
    reason: str = ""

    @property
    def seed(self) -> object:
        """Value of the parameter `seed_everything`; None where the sweep does not set it."""
        return self.trial.parameters.get(SEED)


#: A trial, with or without a result.
AnyTrial = TrialResult | MissingTrial


def read_trials(
    trials: Sequence[StudyTrial], criterion: str | None = None
) -> tuple[list[TrialResult], list[MissingTrial]]:
    """Read the results of trials. Returns finished and missing trials.

    Args:
        trials: All trials of a study.
        criterion: Name of the criterion whose curve is measured. None: entropy, and for a regression patience.

    Raises:
        UserError: No trial has a usable result.
    """
    read = [_read(trial, criterion) for trial in trials]
    results = [result for result in read if isinstance(result, TrialResult)]
    missing = [result for result in read if isinstance(result, MissingTrial)]
    if not results:
        states = [f"{trial.trial.id} ({trial.reason or trial.state})" for trial in missing]
        shown = ", ".join(states[:3]) + (f" and {len(states) - 3} more" if len(states) > 3 else "")
        raise UserError(
            f"a finished trial among {len(trials)}", shown or "no trial", "Run the study: `study run SWEEP`."
        )
    return results, missing


def with_criterion(result: AnyTrial, criterion: str | None) -> AnyTrial:
    """Return the result of a trial with the curve of another criterion; the same result for None."""
    if criterion is None or isinstance(result, MissingTrial):
        return result
    try:
        return replace(result, curve=read_curve(result.curve.run, criterion))
    except UserError as error:
        return MissingTrial(result.trial, NOT_APPLICABLE, f"{criterion}: {error.expected}; {error.found}")


def _read(trial: StudyTrial, criterion: str | None) -> AnyTrial:
    state = str(trial.state())
    if state != FINISHED:
        return MissingTrial(trial, state)
    try:
        run = read_run(trial.directory)
        if isinstance(run, UnfinishedRun):
            return MissingTrial(trial, "damaged" if run.status == "missing" else run.status, run.reason)
        curve = read_curve(run, criterion or default_criterion(run))
        return TrialResult(trial, curve, _logged(curve))
    except UserError as error:
        return MissingTrial(trial, "damaged", f"{error.expected}: {error.found}")


def _logged(curve: StoredCurve) -> dict[str, float]:
    run = curve.run
    result = read_result(run.directory, added_points=False)
    values = {name: value for name, value in result.metrics.items() if value is not None}
    values |= measures(run) | dict(run.gradient_summary)
    if isinstance(record := read_gradients(run), GradientRecord):
        values |= _probed(record)
    if run.provenance.fit_seconds is not None:
        values["fit_seconds"] = run.provenance.fit_seconds
    if (run.directory / REPRESENTATION).exists():
        for layer, by_name in read_representation(run.directory).measures.items():
            values |= {f"{name}_exit_{layer}": value for name, value in by_name.items() if value is not None}
    return values


def _probed(record: GradientRecord) -> dict[str, float]:
    values: dict[str, float] = {}
    for term in record.comparisons:
        compared = record.overall(term)
        angle = median_angle(compared)
        values[f"probe_angle_median_{term}"] = math.nan if angle is None else angle
        values[f"probe_conflict_rate_{term}"] = conflict_rate(compared)
    return values
