"""Runs that differ in nothing but the seed belong together; groups of one task and training size are compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from acl_lightning.studies.names import configuration_names, renamed
from acl_lightning.studies.run_record import Run
from acl_lightning.studies.settings import labels


@dataclass(frozen=True)
class Group:
    """Runs of one task with equal settings.

    Attributes:
        task: their task.
        train_rows: number of training rows asked for, or `all`.
        label: its name: given, or of its configuration files, or `settings`.
        runs: at least one; seeds usually differ.
        settings: the settings in which this group differs from those it is compared with.
    """

    task: str
    train_rows: str
    label: str
    runs: tuple[Run, ...]
    settings: str = ""

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


def group_runs(runs: Sequence[Run], names: Sequence[str] | None = None) -> list[Group]:
    """Group by task and settings, in the order of first appearance; groups to be compared stand together.

    Tasks are never mixed, and neither are runs measured on different numbers of samples or at different exits.

    Args:
        runs: Finished runs.
        names: Names of the groups, in the order of their first appearance; a group of the same default name in another
            task or training size gets the same name. None: the names of the configuration files, or the settings in
            which the groups differ.

    Raises:
        UserError: Not one name per group.
    """
    groups: list[Group] = []
    for task, train_rows in dict.fromkeys((run.task, run.train_rows) for run in runs):
        members: dict[frozenset[tuple[str, str]], list[Run]] = {}
        for run in runs:
            if (run.task, run.train_rows) == (task, train_rows):
                members.setdefault(frozenset(run.settings.items()), []).append(run)
        firsts = [alike[0] for alike in members.values()]
        settings = [first.settings for first in firsts]
        differences = labels(settings)
        files = [first.result.get("config_files") or [] for first in firsts]
        shown = configuration_names(files, settings) or differences
        groups += [
            Group(task, train_rows, name, tuple(alike), difference)
            for name, difference, alike in zip(shown, differences, members.values(), strict=True)
        ]
    if names is None:
        return groups
    name_of = renamed([group.label for group in groups], names)
    return [replace(group, label=name_of[group.label]) for group in groups]


def names_explained(groups: Sequence[Group]) -> list[str]:
    """Return a sentence per name of a group that does not say in which settings the group differs."""
    several = [group for group in groups if sum(one.comparison == group.comparison for one in groups) > 1]
    sentences = [f"{group.label}: {group.settings}." for group in several if group.label != group.settings]
    return list(dict.fromkeys(sentences))


def comparisons(groups: Sequence[Group]) -> dict[tuple[str, str], list[Group]]:
    """Task and training size -> the groups to be compared."""
    found: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        found.setdefault(group.comparison, []).append(group)
    return found
