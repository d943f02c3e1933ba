"""Trials of a sweep of any method: all of a grid, and those that exist of a random or Bayesian search."""

from __future__ import annotations

from pathlib import Path

from acl_lightning.studies.trials.agent_runs import with_agent_runs
from acl_lightning.studies.trials.search import stored_trials
from acl_lightning.studies.trials.sweep import Sweep
from acl_lightning.studies.trials.trial import Trial


def existing_trials(sweep: Sweep, root: Path, runs: Path | None = None) -> tuple[Trial, ...]:
    """Return all trials of a grid; of a random or Bayesian search those that a runner has drawn. Writes nothing.

    Args:
        sweep: The sweep, with its overrides: a search with other values is another study.
        root: Directory of the run directories of all trials.
        runs: Directory of the runs that W&B's agents made; a finished one stands for a trial that has not finished.

    Raises:
        UserError: The sweep is wrong, a configuration file is missing, or Optuna is needed and not installed.
    """
    if sweep.method == "grid":
        return sweep.trials(root, runs=runs)
    trials = stored_trials(sweep, root)
    return trials if runs is None else with_agent_runs(trials, runs)
