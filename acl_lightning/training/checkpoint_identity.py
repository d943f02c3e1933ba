"""What a checkpoint says about itself: plain settings, and what its weights mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acl_lightning.errors import UserError

#: Key in a checkpoint under which the identity lies.
IDENTITY = "acl_lightning"


def check_identity(trained: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse weights that were trained to mean something else, also where the shapes would fit.

    Args:
        trained: what the checkpoint says; a name that it does not know is not compared.
        here: the same of the module that would load it.

    Raises:
        UserError: the first name whose values differ, with both.
    """
    for name, value in here.items():
        if name in trained and trained[name] != value:
            raise UserError(
                f"a checkpoint with {name} {value}",
                f"{trained[name]}",
                "Give the configuration it was trained with: --config RUN/config.yaml.",
            )


def plain_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that are plain values throughout, so that a checkpoint loads with `weights_only=True`."""
    return {name: value for name, value in given.items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
