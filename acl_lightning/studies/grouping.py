"""Groups of runs that differ in the seed only, and the names of the groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from acl_lightning.errors import UserError
from acl_lightning.studies.reading import Run
from acl_lightning.studies.settings import Settings, labels

#: Words in names of configuration files that are written in capitals.
ABBREVIATIONS = frozenset({"acf", "acl", "ce", "cl", "scl"})

#: Stem of the resolved configuration of a run, which does not describe the run.
RESOLVED = "config"


@dataclass(frozen=True)
class Group:
    """Runs of one task with equal settings.

    Attributes:
        task: Name of the task.
        train_rows: Number of training rows that the configuration asks for, or `all`.
        label: Name of the group: from the user, from its configuration files, or `settings`.
        runs: One or more runs, usually of different seeds.
        settings: The settings in which this group differs from the groups that it is compared with, as text.
    """

    task: str
    train_rows: str
    label: str
    runs: tuple[Run, ...]
    settings: str = ""

    @property
    def comparison(self) -> tuple[str, str]:
        """Task and training size. Groups that agree in both are compared in a table and a figure."""
        return self.task, self.train_rows

    @property
    def data(self) -> str:
        """Task and training size as text."""
        return f"{self.task}, {self.train_rows} training rows"

    @property
    def seeds(self) -> list[int | None]:
        """Seed of each run."""
        return [run.seed for run in self.runs]

    @property
    def seeds_text(self) -> str:
        """Seeds, separated by spaces."""
        return " ".join(str(seed) for seed in self.seeds)

    @property
    def repeated_seeds(self) -> list[int | None]:
        """Seeds that more than one run used, so that their spread is not a spread over seeds."""
        return [seed for seed, count in Counter(self.seeds).items() if count > 1]


def group_runs(runs: Sequence[Run], names: Sequence[str] | None = None) -> list[Group]:
    """Group runs by task, training size and settings, in the order of first appearance.

    Runs that were measured on different numbers of samples or at different exits are in different groups.

    Args:
        runs: Finished runs.
        names: Names of the groups in the order of their first appearance. A group of the same default name in another
            task or training size gets the same name. None: the names of the configuration files, or the settings in
            which the groups differ.

    Raises:
        UserError: The number of names is not the number of groups.
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
        files = [first.provenance.config_files for first in firsts]
        default_names = configuration_names(files, settings) or differences
        groups += [
            Group(task, train_rows, name, tuple(alike), difference)
            for name, difference, alike in zip(default_names, differences, members.values(), strict=True)
        ]
    if names is None:
        return groups
    name_of = renamed([group.label for group in groups], names)
    return [replace(group, label=name_of[group.label]) for group in groups]


def comparisons(groups: Sequence[Group]) -> dict[tuple[str, str], list[Group]]:
    """Return task and training size -> the groups that are compared."""
    compared: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        compared.setdefault(group.comparison, []).append(group)
    return compared


def check_one_task(runs: Sequence[Run]) -> None:
    """Refuse runs of more than one task.

    Raises:
        UserError: The runs are about more than one task.
    """
    tasks = dict.fromkeys(run.task for run in runs)
    if len(tasks) > 1:
        raise UserError("runs of one task", ", ".join(tasks), "Compare the runs of each task in a call of its own.")


def named_with_size(groups: Sequence[Group]) -> list[Group]:
    """Return groups that stand in one table, with the training size in their names where it differs."""
    if len({group.train_rows for group in groups}) < 2:
        return list(groups)
    return [replace(group, label=f"{group.train_rows} training rows, {group.label}") for group in groups]


def cautions(groups: Sequence[Group]) -> list[str]:
    """Return what limits a comparison: unexplained names, single runs, repeated seeds, commits, uncommitted changes."""
    notes = explained_names(groups)
    single = sum(len(group.runs) == 1 for group in groups)
    if single:
        notes.append(f"{single} of {len(groups)} groups have one run (n = 1) and therefore no spread.")
    notes += [
        f"{group.data}, {group.label}: seed {', '.join(map(str, group.repeated_seeds))} occurs more than once."
        for group in groups
        if group.repeated_seeds
    ]
    runs = [run for group in groups for run in group.runs]
    states = [run.provenance.git or {} for run in runs]
    if len({state.get("commit") for state in states}) > 1:
        notes.append("The runs come from more than one commit; see provenance.json.")
    changed = [run.name for run, state in zip(runs, states, strict=True) if state.get("dirty")]
    if changed:
        notes.append(f"Run with uncommitted changes: {', '.join(changed)}.")
    return notes


def explained_names(groups: Sequence[Group]) -> list[str]:
    """Return `NAME: SETTINGS.` for every compared group whose name is not its settings."""
    compared = [group for alike in comparisons(groups).values() if len(alike) > 1 for group in alike]
    sentences = [f"{group.label}: {group.settings}." for group in compared if group.label != group.settings]
    return list(dict.fromkeys(sentences))


def configuration_names(files: Sequence[Sequence[str]], settings: Sequence[Settings]) -> list[str] | None:
    """Return a name for each of several groups: the configuration files in which it differs from the others.

    `objective/acl_cl.yaml` gives `ACL-CL`. Groups of the same files are distinguished by their settings.

    Args:
        files: Configuration files of each group, as passed to `fit`.
        settings: Settings of each group.

    Returns:
        Different names; None where there is one group only, or a group has no files.
    """
    stems = [[_stem(file) for file in group if _stem(file) != RESOLVED] for group in files]
    if len(stems) < 2 or not all(stems):
        return None
    common = set.intersection(*map(set, stems))
    names = [
        ", ".join(readable(stem) for stem in group if stem not in common) or readable(group[-1]) for group in stems
    ]
    for name, count in Counter(names).items():
        if count > 1:
            alike = [number for number, other in enumerate(names) if other == name]
            for number, label in zip(alike, labels([settings[number] for number in alike]), strict=True):
                names[number] = f"{name}, {label}"
    return names if len(set(names)) == len(names) else None


def readable(stem: str) -> str:
    """Return the name of a configuration file as words; abbreviations in capitals.

    >>> readable("acl_cl"), readable("acl_embed_sum"), readable("self_distillation")
    ('ACL-CL', 'ACL embed sum', 'self distillation')
    """
    words = [word.upper() if word in ABBREVIATIONS else word for word in stem.split("_")]
    text = words[0]
    for word, before in zip(words[1:], words, strict=False):
        text += f"-{word}" if word.isupper() and before.isupper() else f" {word}"
    return text


def renamed(defaults: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return default name -> new name, in the order of the first appearance of each default name.

    Raises:
        UserError: The number of names is not the number of default names, a name is empty, or two names are equal.
    """
    distinct = list(dict.fromkeys(defaults))
    if len(names) != len(distinct) or len(set(names)) < len(names) or not all(names):
        raise UserError(
            f"{len(distinct)} different names, one per group",
            ", ".join(names),
            f"Set --names in the order of the groups: {'; '.join(distinct)}.",
        )
    return dict(zip(distinct, names, strict=True))


def _stem(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2].partition(".")[0]
