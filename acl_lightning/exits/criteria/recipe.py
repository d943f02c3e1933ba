"""Earlier names of `registry.to_config` and `registry.from_config`."""

from __future__ import annotations

from acl_lightning.exits.criteria.registry import from_config as from_recipe
from acl_lightning.exits.criteria.registry import to_config as recipe

__all__ = ["from_recipe", "recipe"]
