"""Runs that W&B's agents start: their description, by which a study finds them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from acl_lightning.studies.trials.command import split_configurations
from acl_lightning.studies.trials.identity import trial_id
from acl_lightning.studies.trials.trial import TRIAL, Trial, TrialState, write_description
from acl_lightning.studies.trials.values import JsonValue

#: Environment variables that W&B's agent sets: the sweep, and the file with the parameters of the run.
SWEEP_VARIABLE = "WANDB_SWEEP_ID"
FILE_VARIABLE = "WANDB_SWEEP_PARAM_PATH"


def is_agent_run() -> bool:
    """Whether W&B's agent has started this process."""
    return SWEEP_VARIABLE in os.environ


def describe_agent_run(directory: Path, arguments: Sequence[str]) -> None:
    """Write `trial.json` for a run that W&B's agent has started; do nothing where it has written no parameters.

    The identity is that of the trial of the sweep, so that studies find the run by it.

    Args:
        directory: Run directory.
        arguments: `fit` and its arguments.

    Raises:
        UserError: A configuration file cannot be read, or the file system refuses the write.
    """
    file = Path(os.environ.get(FILE_VARIABLE, ""))
    if not file.is_file():
        return
    entries = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    values = {name: entry["value"] for name, entry in entries.items() if isinstance(entry, dict)}
    parameters = dict(_flat(values))
    command = _without_parameters(arguments, parameters, file.with_suffix(".json"))
    write_description(directory, trial_id(command, parameters), command, parameters)


def agent_runs(runs: Path) -> dict[str, Path]:
    """Return identity -> run directory of the runs with a description in a directory of runs."""
    directories: dict[str, Path] = {}
    for path in sorted(runs.glob(f"*/{TRIAL}")):
        try:
            directories[str(json.loads(path.read_text(encoding="utf-8"))["id"])] = path.parent
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return directories


def with_agent_runs(trials: Sequence[Trial], runs: Path) -> tuple[Trial, ...]:
    """Return trials with the directories of runs of W&B's agents where these have finished and the trials have not.

    Args:
        trials: Trials of a study.
        runs: Directory of the runs of agents.
    """
    directories = agent_runs(runs)
    return tuple(_elsewhere(trial, directories) for trial in trials)


def _elsewhere(trial: Trial, directories: Mapping[str, Path]) -> Trial:
    directory = directories.get(trial.id)
    if directory is None or trial.recorded_state() == TrialState.FINISHED:
        return trial
    other = Trial(**{**trial.__dict__, "directory": directory})
    return other if other.state() == TrialState.FINISHED else trial


def _without_parameters(arguments: Sequence[str], parameters: Mapping[str, JsonValue], file: Path) -> list[str]:
    """Return the arguments of `fit` that the command of the sweep has for every trial."""
    flags = {f"--{name}={value}" for name, value in parameters.items()}
    files, others = split_configurations([item for item in arguments if item not in flags])
    kept = [name for name in files if Path(name) != file and not name.startswith("{")]
    return ["acl_lightning", *others[:1], *(item for name in kept for item in ("--config", name)), *others[1:]]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, JsonValue]]:
    flat: list[tuple[str, JsonValue]] = []
    for name, value in values.items():
        flat += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return flat
