"""Settings of a run as flat text, and short labels for the settings in which groups of runs differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

#: Dotted key -> value as text.
Settings = Mapping[str, str]

#: Keys in which runs that differ in the seed only may differ: the seed, the directory, and the console output.
NOT_A_SETTING = ("seed_everything", "run_dir", "trainer.enable_progress_bar", "trainer.enable_model_summary")


def flat_settings(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the resolved configuration as dotted key -> text, without `NOT_A_SETTING`.

    An object (`class_path` and `init_args`) becomes a key with its class and a key per argument:
    `model.objective: acl_lightning.objectives.WeightedObjective`, `model.objective.weight: 0.5`. Null becomes `none`;
    a list is one value.

    Args:
        config: Content of `config.yaml`.
    """
    return {key: text for key, text in _leaves(config, "") if key not in NOT_A_SETTING}


def _leaves(node: Any, key: str) -> list[tuple[str, str]]:
    if not isinstance(node, Mapping):
        return [(key, _text(node))]
    own: list[tuple[str, str]] = []
    children = node
    if "class_path" in node:
        own = [(key, str(node["class_path"]))]
        children = node.get("init_args") or {}
    prefix = f"{key}." if key else ""
    return own + [leaf for name, value in children.items() for leaf in _leaves(value, f"{prefix}{name}")]


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return str(value).lower() if isinstance(value, bool) else str(value)


def labels(groups: Sequence[Settings]) -> list[str]:
    """Return a short label for each group: the settings in which the groups differ. Labels are distinct.

    A key is shown where the groups that have it disagree. An argument of a class that only one group uses is not shown,
    since the class is. Keys are shortened to their shortest unambiguous ending and classes to their names:
    `auxiliary=ACLEmbed, gradient_rule=ACLGrad`. The label of a single group is `all runs`. Where these keys do not
    distinguish two groups (a setting that an earlier version did not have), missing keys are shown as `absent`.

    Args:
        groups: Different settings.
    """
    if len(groups) == 1:
        return ["all runs"]
    names = _labels(groups, _varying(groups, absent=False))
    if len(set(names)) < len(groups):
        every = _varying(groups, absent=True)
        names = _labels([{key: settings.get(key, "absent") for key in every} for settings in groups], every)
    assert len(set(names)) == len(groups), "the same settings twice"
    return names


def _varying(groups: Sequence[Settings], *, absent: bool) -> list[str]:
    keys = dict.fromkeys(key for settings in groups for key in settings)
    return [key for key in keys if len({settings.get(key) for settings in groups if absent or key in settings}) > 1]


def _labels(groups: Sequence[Settings], keys: Sequence[str]) -> list[str]:
    values = {key: {settings[key] for settings in groups if key in settings} for key in keys}
    return [
        ", ".join(f"{_short(key, keys)}={_short_value(settings[key], values[key])}" for key in keys if key in settings)
        for settings in groups
    ]


def _short(key: str, keys: Sequence[str]) -> str:
    parts = key.split(".")
    endings = [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]
    return next((end for end in endings if not any(k != key and f".{k}".endswith(f".{end}") for k in keys)), key)


def _short_value(value: str, among: Collection[str]) -> str:
    """The name of a class without its module, unless another class of that name is among the values."""
    parts = value.split(".")
    if len(parts) == 1 or not all(part.isidentifier() for part in parts):
        return value
    alike = [other for other in among if other.split(".")[-1] == parts[-1]]
    return parts[-1] if alike == [value] else value
