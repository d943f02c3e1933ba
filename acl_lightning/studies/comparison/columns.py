"""Columns of a table: the combinations of the values of its parameters, and its conditions.

A condition is a configuration file beside those of the method, for example with noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acl_lightning.studies.comparison.specification import CONDITION, CONFIG, TableSpecification
from acl_lightning.studies.comparison.trial_results import AnyTrial, StudyTrial
from acl_lightning.studies.entries import listed


@dataclass(frozen=True)
class Column:
    """Values of the column parameters.

    Attributes:
        values: Value of each parameter as text.
        heading: The values as words.
    """

    values: tuple[str, ...]
    heading: str


def columns_of(specification: TableSpecification, trials: Sequence[AnyTrial]) -> list[Column]:
    """Return the columns that trials have, and all conditions of the table for each of them.

    Parameters with the same value in all columns are left out of the headings of several columns.
    """
    by_key = {column_key(specification, trial): _column_values(specification, trial) for trial in trials}
    if specification.conditions:
        others = dict.fromkeys(tuple(values[:-1]) for values in by_key.values())
        all_values = [(*other, heading) for other in others for heading in specification.conditions]
        by_key = {tuple(map(canonical_text, values)): values for values in all_values} | by_key
    names = specification.columns
    varying = [len({key[number] for key in by_key}) > 1 or len(by_key) == 1 for number in range(len(names))]
    return [
        Column(
            key,
            ", ".join(
                specification.heading(name, value)
                for name, value, varies in zip(names, values, varying, strict=True)
                if varies
            ),
        )
        for key, values in by_key.items()
    ]


def _column_values(specification: TableSpecification, trial: AnyTrial) -> tuple[object, ...]:
    return tuple(trial.trial.parameters.get(name) for name in specification.columns)


def column_key(specification: TableSpecification, trial: AnyTrial) -> tuple[str, ...]:
    """Return the values of the column parameters of a trial as text."""
    return tuple(map(canonical_text, _column_values(specification, trial)))


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


def short_text(value: object) -> str:
    """Return a value of a parameter for a caption; a number with four digits, and names joined by `+`.

    >>> short_text(7.035737028722141e-05), short_text(["objective/ce.yaml", "study/lr_5e-5.yaml"])
    ('7.036e-05', 'objective/ce.yaml + study/lr_5e-5.yaml')
    """
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return " + ".join(value)
    return f"{value:.4g}" if isinstance(value, float) else canonical_text(value)


def canonical_text(value: object) -> str:
    """Return a value as canonical JSON; a list of one item equals the item."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, default=str)
