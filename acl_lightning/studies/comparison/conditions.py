"""Conditions of a study: configuration files beside those of the method, for example with noise, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acl_lightning.studies.comparison.specification import CONDITION, CONFIG, listed
from acl_lightning.studies.comparison.trial_results import StudyTrial


@dataclass(frozen=True)
class ConditionTrial:
    """A trial whose parameter `config` is split into the files of the method and the condition.

    Attributes:
        trial: The trial.
        parameters: Its parameters, with the files of the method as `config` and the heading of the condition as
            `condition`; None: the trial has no condition of the table.
    """

    trial: StudyTrial
    parameters: Mapping[str, object]

    @property
    def id(self) -> str:
        """Identity of the trial."""
        return self.trial.id

    @property
    def directory(self) -> Path:
        """Run directory."""
        return self.trial.directory

    def state(self) -> str:
        """Return the state of the trial."""
        return self.trial.state()


def with_condition(trial: StudyTrial, conditions: Mapping[str, tuple[str, ...]]) -> StudyTrial:
    """Return a trial with its condition as a parameter; the trial itself where the table has no conditions.

    Args:
        trial: A trial.
        conditions: Heading -> configuration files. Of several conditions whose files a trial has, that with the most
            files is its condition; the condition without files is that of the other trials.
    """
    if not conditions:
        return trial
    files = [str(name) for name in listed(trial.parameters.get(CONFIG, []))]
    matching = [heading for heading, names in conditions.items() if set(names) <= set(files)]
    heading = max(matching, key=lambda heading: len(conditions[heading]), default=None)
    method = [name for name in files if heading is None or name not in conditions[heading]]
    return ConditionTrial(trial, {**trial.parameters, CONFIG: method, CONDITION: heading})
