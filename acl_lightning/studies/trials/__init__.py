"""Trials of a study: the runs that a W&B sweep asks for, their identity and state, and a runner for this machine.

`sweep` reads a sweep file, `schema` checks it, `command` and `identity` turn a combination of parameters into a command
line and a run directory, and `runner` runs the commands as processes.
"""

from acl_lightning.studies.trials.sweep import Metric, Sweep
from acl_lightning.studies.trials.trial import Trial, TrialState
from acl_lightning.studies.trials.values import JsonValue, Parameters

__all__ = ["JsonValue", "Metric", "Parameters", "Sweep", "Trial", "TrialState"]
