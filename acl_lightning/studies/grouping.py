"""Runs that differ in nothing but the seed belong together; groups of one task and training size are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from acl_lightning.studies.run_record import Run
from acl_lightning.studies.settings import labels


@dataclass(frozen=True)
class Group:
    """Runs of one task with equal settings.

    Attributes:
        task: their task.
        train_rows: number of training rows asked for, or `all`.
        label: the settings in which this group differs from those it is compared with.
        runs: at least one; seeds usually differ.
    """

    task: str
    train_rows: str
    label: str
    runs: tuple[Run, ...]

    @property
    def comparison(self) -> tuple[str, str]:
        """Task and training size: only groups that have both in common stand in one table and one figure."""
        return self.task, self.train_rows

    @property
    def seeds(self) -> list[int | None]:
        """Seed of each run."""
        return [run.seed for run in self.runs]

    @property
    def repeated_seeds(self) -> list[int | None]:
        """Seeds that more than one run used: their spread is not one over seeds."""
        return [seed for seed, count in Counter(self.seeds).items() if count > 1]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Group by task and settings, in the order of first appearance; groups to be compared stand together.

    Tasks are never mixed, and neither are runs measured on different numbers of samples or at different exits.
    """
    groups: list[Group] = []
    for task, train_rows in dict.fromkeys((run.task, run.train_rows) for run in runs):
        members: dict[frozenset[tuple[str, str]], list[Run]] = {}
        for run in runs:
            if (run.task, run.train_rows) == (task, train_rows):
                members.setdefault(frozenset(run.settings.items()), []).append(run)
        names = labels([alike[0].settings for alike in members.values()])
        groups += [
            Group(task, train_rows, name, tuple(alike)) for name, alike in zip(names, members.values(), strict=True)
        ]
    return groups


def comparisons(groups: Sequence[Group]) -> dict[tuple[str, str], list[Group]]:
    """Task and training size -> the groups to be compared."""
    found: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        found.setdefault(group.comparison, []).append(group)
    return found
