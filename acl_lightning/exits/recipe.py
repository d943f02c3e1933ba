"""How to build a criterion again: its class and its settings in plain JSON types, as a configuration holds them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from acl_lightning.exits.criterion import Criterion


def recipe(criterion: Criterion) -> dict[str, Any]:
    """`{"class_path": ..., "init_args": {...}}`; a criterion inside a criterion becomes a recipe of its own.

    Settings are the public attributes of the object, which every criterion names as its constructor does; `name` is
    no setting.
    """
    kind = type(criterion)
    settings = {
        name: recipe(value) if isinstance(value, Criterion) else list(value) if isinstance(value, tuple) else value
        for name, value in vars(criterion).items()
        if not name.startswith("_") and name != "name"
    }
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": settings}


def from_recipe(content: Mapping[str, Any]) -> Criterion:
    """The criterion of a recipe."""
    module, _, name = str(content["class_path"]).rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    settings = {
        name: from_recipe(value) if isinstance(value, Mapping) and "class_path" in value else value
        for name, value in content["init_args"].items()
    }
    criterion = kind(**settings)
    assert isinstance(criterion, Criterion)
    return criterion
