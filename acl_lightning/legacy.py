"""Names of earlier versions and their current names: classes, settings and operating points."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Class path of an earlier version -> current class path.
CLASSES = {
    "acl_lightning.gradients.Discard": "acl_lightning.gradients.ACLGrad",
    "acl_lightning.gradients.Project": "acl_lightning.gradients.ProtectedPCGrad",
    "acl_lightning.objectives.Combined": "acl_lightning.objectives.WeightedObjective",
    "acl_lightning.objectives.Given": "acl_lightning.objectives.Listed",
    "acl_lightning.objectives.GivenExit": "acl_lightning.objectives.FixedExit",
    "acl_lightning.exits.MaxLoss": "acl_lightning.exits.MaxDrop",
    "acl_lightning.callbacks.GradientWatch": "acl_lightning.callbacks.GradientProbe",
    "acl_lightning.callbacks.GradientConflict": "acl_lightning.callbacks.GradientMonitor",
}

#: Modules of objectives in earlier versions. Their classes are in `acl_lightning.objectives`.
OBJECTIVE_MODULES = frozenset({
    "acf",
    "acl_cross_layer",
    "acl_embed",
    "cross_entropy",
    "gate_correctness",
    "self_distillation",
    "squared_error",
    "supervised_contrastive",
    "teachers",
})  # fmt: skip

#: Setting of an earlier version -> current setting, as dotted keys from the root of the configuration.
SETTINGS = {
    "gradient_conflict": "gradient_monitor",
    "exit_sweep.max_losses": "exit_sweep.max_drops",
}

#: Shipped configuration file of an earlier version -> present file, both below `conf/`.
FILES = {
    "callbacks/gradient_watch.yaml": "callbacks/gradient_probe.yaml",
    "gradient/project.yaml": "gradient/protected_pcgrad.yaml",
}

_POINT = re.compile(r"loss(?=\d)")


def present_names(configuration: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Replace earlier names in a configuration by current names.

    Args:
        configuration: The content of a configuration file of `fit`, as nested plain values; it is not modified.

    Returns:
        The configuration with current names, and a text `old -> new` for each replaced name.
    """
    renamed: list[str] = []
    classes = _with_present_classes(configuration, renamed)
    assert isinstance(classes, dict)
    for old, new in SETTINGS.items():
        *sections, key = old.split(".")
        section: Any = classes
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict) and key in section:
            section[new.rpartition(".")[2]] = section.pop(key)
            renamed.append(f"{old} -> {new}")
    return classes, list(dict.fromkeys(renamed))


def _with_present_classes(value: Any, renamed: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _with_present_classes(item, renamed) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_present_classes(item, renamed) for item in value]
    if isinstance(value, str) and (present := _present_class(value)) != value:
        renamed.append(f"{value} -> {present}")
        return present
    return value


def _present_class(path: str) -> str:
    package, _, rest = path.partition(".objectives.")
    module, _, name = rest.partition(".")
    if package == "acl_lightning" and name and module in OBJECTIVE_MODULES:
        path = f"acl_lightning.objectives.{name}"
    return CLASSES.get(path, path)


def present_point(name: str) -> str:
    """Return the current name of an operating point: `drop1` for `loss1`. Other names are returned unchanged."""
    return _POINT.sub("drop", name) if _POINT.match(name) else name


def present_points(points: Mapping[str, Any]) -> dict[str, Any]:
    """Return operating points under their current names. A current name takes precedence over an earlier name."""
    return {present_point(name): point for name, point in points.items()} | {
        name: point for name, point in points.items() if present_point(name) == name
    }
