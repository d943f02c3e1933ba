"""Runs that differ in nothing but the seed belong together."""

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
        label: the settings in which this group differs from the others of its task.
        runs: at least one; seeds usually differ.
    """

    task: str
    label: str
    runs: tuple[Run, ...]

    @property
    def seeds(self) -> list[int | None]:
        """Seed of each run."""
        return [run.seed for run in self.runs]

    @property
    def repeated_seeds(self) -> list[int | None]:
        """Seeds that more than one run used: their spread is not one over seeds."""
        return [seed for seed, count in Counter(self.seeds).items() if count > 1]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Group by task and settings, in the order of first appearance; groups of one task stand together.

    Tasks are never mixed, and neither are runs measured on different numbers of samples or at different exits.
    """
    groups: list[Group] = []
    for task in dict.fromkeys(run.task for run in runs):
        members: dict[frozenset[tuple[str, str]], list[Run]] = {}
        for run in runs:
            if run.task == task:
                members.setdefault(frozenset(run.settings.items()), []).append(run)
        names = labels([alike[0].settings for alike in members.values()])
        groups += [Group(task, name, tuple(alike)) for name, alike in zip(names, members.values(), strict=True)]
    return groups
