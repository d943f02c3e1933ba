"""Short names of groups of runs: those of their configuration files, or given ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from acl_lightning.errors import UserError
from acl_lightning.studies.settings import Settings, labels

#: Words of file names that are abbreviations.
ABBREVIATIONS = frozenset({"acf", "acl", "ce", "cl", "scl"})

#: Stem of the resolved configuration of a run: the file says nothing about what the run is.
RESOLVED = "config"


def configuration_names(files: Sequence[Sequence[str]], settings: Sequence[Settings]) -> list[str] | None:
    """Name each of several groups after the configuration files in which it differs from the others.

    `objective/acl_cl.yaml` gives `ACL-CL`. Groups of the same files are told apart by their settings.

    Args:
        files: Configuration files of each group, as given to `fit`.
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


def given_names(text: str | None) -> list[str] | None:
    """Return the names of the option `--names`; None where it is not given."""
    return None if text is None else [name.strip() for name in text.split(",")]


def renamed(defaults: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return default name -> given name, in the order of the first appearance of each default name.

    Raises:
        UserError: Not one name per default name, an empty name, or one name twice.
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
