"""Identity of a checkpoint: task, labels and exits for which its weights were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from acl_lightning.encoders import EncoderConfig
from acl_lightning.errors import UserError

#: Key of the identity in a checkpoint.
IDENTITY = "acl_lightning"


def identity(
    task: str, label_names: Sequence[str], exit_layers: Sequence[int], encoder: EncoderConfig
) -> dict[str, Any]:
    """Return the identity of a model as plain values: what must be equal for its weights to mean the same."""
    return {
        "task": task,
        "labels": list(label_names),
        "exit layers": list(exit_layers),
        "exit row": encoder.exit_row,
        "pooler": encoder.pooler,
        "label embeddings": encoder.label_embeddings,
        "learnt gate": encoder.learnt_gate,
        "lora": None if encoder.lora is None else asdict(encoder.lora),
    }


def check_identity(trained: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse weights for another task, other labels or other exits, even where the shapes are equal.

    Args:
        trained: Identity in the checkpoint. A name that it lacks is not compared.
        here: Identity of the module that loads the checkpoint.

    Raises:
        UserError: The values of a name differ. The message contains both.
    """
    for name, value in here.items():
        if name in trained and trained[name] != value:
            raise UserError(
                f"a checkpoint with {name} {value}",
                f"{trained[name]}",
                "Give the configuration of its run: --config RUN/config.yaml.",
            )


def plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are plain values, so that a checkpoint loads with `weights_only=True`."""
    return {name: value for name, value in settings.items() if _is_plain(value)}


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
